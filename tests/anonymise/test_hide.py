"""Regions made unrecognisable, and boxes carried over the frames in which they were missed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featherface.anonymise import METHODS, Style, bridge, grown, hide, load_cover
from featherface.errors import ConfigError, ImageError

CANVAS = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
COVER = np.dstack([np.full((20, 20, 3), (250, 200, 0), np.uint8), np.full((20, 20), 255, np.uint8)])


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def style(method, **options):
    return Style(method, cover=COVER if method == "image" else None, **options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", ["ellipse", "box"])
def test_the_face_changes_and_the_rest_does_not(method, shape):
    face = boxes([40, 30, 90, 100])
    result = hide(CANVAS, face, style(method, shape=shape))
    changed = (result != CANVAS).any(-1)
    outside = np.ones(changed.shape, bool)
    x1, y1, x2, y2 = np.round(grown(face, 1.3)[0]).astype(int)
    outside[max(0, y1 - 1) : y2 + 1, max(0, x1 - 1) : x2 + 1] = False
    assert not changed[outside].any()
    assert changed[40:90, 50:80].mean() > 0.95


@pytest.mark.parametrize("method", ["blur", "pixelate"])
@pytest.mark.parametrize("side", [12, 40, 110])
def test_little_is_left_of_the_detail_whatever_the_size(method, side):
    result = hide(CANVAS, boxes([5, 5, 5 + side, 5 + side]), style(method, shape="box"))
    inner = (slice(6, 4 + side), slice(6, 4 + side))
    before, after = CANVAS[inner].astype(float), result[inner].astype(float)
    assert after.std() < before.std() / 2
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.5


def test_blur_leaves_only_a_handful_of_values():
    result = hide(CANVAS, boxes([20, 20, 100, 100]), style("pixelate", shape="box", grow=1.0))
    assert len(np.unique(result[20:100, 20:100].reshape(-1, 3), axis=0)) <= 36


@given(
    st.lists(
        st.tuples(*[st.floats(-300, 400, width=32)] * 2, *[st.floats(0, 300, width=32)] * 2), max_size=4
    ),
    st.sampled_from(METHODS),
)
@settings(max_examples=120, deadline=None)
def test_any_boxes_in_and_beyond_the_picture(rows, method):
    faces = boxes(*[(x, y, x + w, y + h) for x, y, w, h in rows])
    before = CANVAS.copy()
    assert hide(CANVAS, faces, style(method)).shape == CANVAS.shape
    assert (before == CANVAS).all(), "the picture that came in is left alone"


def test_transparent_parts_of_the_cover_show_no_face():
    clear = np.zeros((10, 10, 4), np.uint8)
    result = hide(CANVAS, boxes([40, 30, 90, 100]), Style("image", cover=clear))
    assert result[40:90, 50:80].std() < CANVAS[40:90, 50:80].std() / 2


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_covers_of_any_depth(tmp_path, channels):
    path = tmp_path / "cover.png"
    cv2.imwrite(str(path), np.full((7, 5, channels), 90, np.uint8))
    assert load_cover(path).shape == (7, 5, 4)


def test_covers_that_are_none(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png", "missing.png"):
        with pytest.raises(ImageError, match=name):
            load_cover(tmp_path / name)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "smear"},
        {"shape": "star"},
        {"grow": 0.5},
        {"grow": float("nan")},
        {"colour": (0, 0, 300)},
        {"method": "image"},
    ],
    ids=str,
)
def test_bad_styles(options):
    with pytest.raises(ConfigError):
        Style(**options)


def track(frames, count):
    """`frames`: frame to x of track 1; everything else is empty."""
    return [
        (boxes([frames[f], 0, frames[f] + 10, 10]), np.array([1]))
        if f in frames
        else (boxes(), np.zeros(0, np.int64))
        for f in range(count)
    ]


def test_a_lost_track_is_filled_in_on_the_straight_line():
    hidden = bridge(track({0: 0, 4: 40}, 6), gap=10, margin=0)
    assert [float(h[0, 0]) for h in hidden[:5]] == [0, 10, 20, 30, 40]
    assert len(hidden[5]) == 0


def test_a_track_lost_for_long_is_not_filled_in():
    hidden = bridge(track({0: 0, 9: 40}, 10), gap=5, margin=0)
    assert [len(h) for h in hidden] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_a_track_is_held_before_its_first_and_after_its_last_sighting():
    hidden = bridge(track({4: 40, 5: 45, 6: 50}, 11), gap=5, margin=2)
    assert [len(h) for h in hidden] == [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    np.testing.assert_allclose(
        hidden[2][0], [30, 0, 50, 10], err_msg="from where it came, to where it was seen"
    )
    np.testing.assert_allclose(hidden[8][0], [50, 0, 70, 10])


def test_an_untracked_face_is_hidden_in_its_frame_and_next_to_it():
    found = [(boxes(), np.zeros(0, np.int64))] * 5
    found[2] = (boxes([0, 0, 9, 9]), np.array([-1]))
    assert [len(h) for h in bridge(found, gap=5, margin=4)] == [0, 1, 1, 1, 0]


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(0, 8), st.integers(0, 8))
@settings(deadline=None)
def test_every_sighting_is_always_hidden(frames, gap, margin):
    found = track({f: 3.0 * f for f in frames}, 31)
    for frame, regions in enumerate(bridge(found, gap, margin)):
        if frame in frames:
            assert any(np.allclose(region, found[frame][0][0]) for region in regions)
