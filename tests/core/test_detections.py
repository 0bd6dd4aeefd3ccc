"""The value type, and geometry that must map back: flips, tiles, alignment."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featherface import Detections
from featherface.crops import TEMPLATE_112, aligned_crop, similarity
from featherface.detector import mirrored, tile_starts
from featherface.errors import FeatherFaceError


def some(n=3, width=100, height=80):
    rng = np.random.default_rng(n)
    low = rng.uniform(0, 40, (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(4, 30, (n, 2))], 1)
    return Detections(boxes, rng.random(n), rng.uniform(0, 80, (n, 5, 2)), width, height)


def test_sorted_by_score_and_float32():
    found = some(6)
    assert (np.diff(found.scores) <= 0).all()
    assert found.boxes.dtype == found.landmarks.dtype == np.float32


@pytest.mark.parametrize(
    ("boxes", "scores", "landmarks", "reason"),
    [
        pytest.param(np.zeros((2, 4)), np.zeros(1), np.zeros((1, 5, 2)), "boxes", id="counts differ"),
        pytest.param(np.zeros((1, 5)), np.zeros(1), np.zeros((1, 5, 2)), "boxes", id="five columns"),
        pytest.param(np.zeros((1, 4)), np.zeros(1), np.zeros((1, 10)), "landmarks", id="flat landmarks"),
        pytest.param(np.zeros((1, 4)), np.full(1, np.nan), np.zeros((1, 5, 2)), "finite", id="NaN score"),
    ],
)
def test_rejects_what_does_not_fit(boxes, scores, landmarks, reason):
    with pytest.raises(ValueError, match=reason):
        Detections(boxes, scores, landmarks, 10, 10)


def test_filter_by_score_size_mask_and_count():
    found = some(6)
    assert (found.filter(score_threshold=0.5).scores >= 0.5).all()
    sides = found.filter(min_size=12).boxes
    assert ((sides[:, 2:] - sides[:, :2]) >= 12).all()
    assert len(found.filter(max_detections=2)) == 2
    assert len(found.filter(np.zeros(6, bool))) == 0
    assert len(Detections.empty(5, 5).filter(min_size=3)) == 0


def test_mirroring_twice_gives_the_same_and_once_swaps_left_and_right():
    found = some()
    once = mirrored(found)
    np.testing.assert_allclose(once.landmarks[:, 0, 0], found.width - found.landmarks[:, 1, 0], atol=1e-4)
    np.testing.assert_allclose(mirrored(once).boxes, found.boxes, atol=1e-4)
    np.testing.assert_allclose(mirrored(once).landmarks, found.landmarks, atol=1e-4)


def test_scaling_there_and_back():
    found = some()
    np.testing.assert_allclose(found.scaled(2.5).scaled(0.4).boxes, found.boxes, atol=1e-3)


@given(st.integers(1, 20_000), st.integers(64, 2_000))
@settings(deadline=None)
def test_tiles_cover_the_side_and_share_a_quarter(length, tile):
    starts = tile_starts(length, tile)
    ends = [start + tile for start in starts]
    assert starts[0] == 0 and ends[-1] >= length and (length < tile or ends[-1] == length)
    for start, end in zip(starts[1:], ends, strict=False):
        assert end - start >= tile * 0.25 - 1


@given(st.floats(-3, 3), st.floats(0.3, 4), st.floats(-200, 200), st.floats(-200, 200))
@settings(deadline=None)
def test_similarity_finds_the_turn_scale_and_shift_it_was_given(angle, scale, dx, dy):
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = TEMPLATE_112 @ turn.T + np.array([dx, dy])
    matrix = similarity(TEMPLATE_112, moved.astype(np.float32))
    np.testing.assert_allclose(matrix[:, :2], turn, atol=1e-3)
    np.testing.assert_allclose(matrix[:, 2], [dx, dy], atol=0.05)


def test_points_in_one_place_still_give_a_crop():
    crop = aligned_crop(np.zeros((50, 50, 3), np.uint8), np.ones((5, 2), np.float32))
    assert crop.shape == (112, 112, 3)


def test_supervision_missing_is_one_clear_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(FeatherFaceError, match="pip install supervision"):
        some().to_supervision()


def test_to_dict_has_plain_numbers():
    face = some(1).to_dict()[0]
    assert list(face) == ["box", "score", "landmarks"]
    assert all(type(v) is float for v in face["box"]) and len(face["landmarks"]) == 5
