"""Parts of a frame replaced in its planes."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import av

from featherface.video.planes import can_be_patched, patched

BT709, BT601, BT2020, UNSPECIFIED, LIMITED, FULL = 1, 5, 9, 2, 1, 2


def picture(seed: int = 0) -> np.ndarray:
    """Smooth colours over the whole range, 48x64."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (3, 4, 3), np.uint8)
    return cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC)


def decoded(image: np.ndarray, space: int | None = None, layout: str = "yuv420p"):
    """A frame as a decoder would give it."""
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=layout, dst_colorspace=space)


@pytest.mark.parametrize("space", [None, BT601, BT709])
def test_a_region_shows_the_picture_and_the_rest_stays_bit_for_bit(space: int | None) -> None:
    old, new = picture(0), picture(1)
    frame = decoded(old, space)
    colour = {} if space is None else {"colorspace": space}
    after = patched(frame, new, np.array([[10.5, 4.0, 33.2, 21.0]], np.float32), colour).to_ndarray()
    expected, before = decoded(new, space).to_ndarray(), frame.to_ndarray()
    inside = np.zeros((48, 64), bool)
    inside[4:22, 10:34] = True  # grown to whole samples of chroma
    luma = after[:48]
    np.testing.assert_array_equal(luma[~inside], before[:48][~inside])
    assert np.abs(luma[inside].astype(int) - expected[:48][inside]).max() <= 2
    chroma, was, want = (a[48:].reshape(2, 24, 32) for a in (after, before, expected))
    half = inside[::2, ::2]
    np.testing.assert_array_equal(chroma[:, ~half], was[:, ~half])
    # FFmpeg filters chroma over more samples than the two of each way that it covers.
    assert np.abs(chroma[:, half].astype(int) - want[:, half]).mean() < 3


@pytest.mark.parametrize(
    "region", [[-20, -20, -5, -5], [70, 10, 90, 20], [5, 5, 5, 5], [20, 20, 10, 10]], ids=str
)
def test_a_region_outside_the_frame_changes_nothing(region: list[float]) -> None:
    frame = decoded(picture())
    after = patched(frame, picture(1), np.array([region], np.float32), {})
    if region[:2] != [5, 5]:
        np.testing.assert_array_equal(after.to_ndarray(), frame.to_ndarray())


@pytest.mark.parametrize(
    ("change", "expected", "why"),
    [
        ({}, True, "8 bit, 4:2:0, colour space not said"),
        ({"colour": {"colorspace": BT709}}, True, "high definition"),
        ({"layout": "yuv420p10le"}, False, "10 bit is encoded as 8"),
        ({"layout": "yuv422p"}, False, "chroma has more rows"),
        ({"layout": "yuvj420p"}, False, "full range by its format"),
        ({"width": 63, "size": (63, 48)}, False, "an odd side is doubled"),
        ({"width": 32}, False, "the stream changed its size midway"),
        ({"turned": True}, False, "the picture is upright, the planes are not"),
        ({"colour": {"color_range": FULL}}, False, "full range by its tag"),
        ({"colour": {"colorspace": BT2020}}, False, "its shares are not known here"),
        ({"space": BT709, "colour": {"colorspace": BT709}}, True, "frame and video say the same"),
        ({"space": BT601}, True, "what the frame says is what is taken when nothing is said"),
        ({"space": BT709}, False, "the frame says what the video does not"),
        (
            {"space": BT601, "colour": {"colorspace": BT709}},
            False,
            "the stream changed its colour space midway",
        ),
        ({"range": LIMITED}, True, "limited range is what is taken when nothing is said"),
        ({"range": FULL}, False, "the stream changed its range midway"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_which_frames_can_be_patched(change: dict, expected: bool, why: str) -> None:
    frame = SimpleNamespace(
        format=SimpleNamespace(name=change.get("layout", "yuv420p")),
        width=change.get("width", 64),
        height=48,
        colorspace=change.get("space", UNSPECIFIED),
        color_range=change.get("range", 0),
    )
    size, turned, colour = change.get("size", (64, 48)), change.get("turned", False), change.get("colour", {})
    assert can_be_patched(frame, size, turned, colour) is expected, why
