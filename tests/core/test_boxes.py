"""Box geometry: round trips, and NMS against a naive reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from featherface.boxes import (
    agreement,
    decode_boxes,
    decode_landmarks,
    encode_boxes,
    encode_landmarks,
    iou_matrix,
    nms,
    parts_of_larger,
    voices,
    vote,
)

VARIANCES = (0.1, 0.2)

floats = st.floats(-500, 1500, width=32)
sizes = st.floats(1, 800, width=32)


@st.composite
def boxes_and_scores(draw: st.DrawFn):
    n = draw(st.integers(0, 40))
    low = draw(hnp.arrays(np.float32, (n, 2), elements=st.integers(0, 60).map(float)))
    side = draw(hnp.arrays(np.float32, (n, 2), elements=st.integers(1, 40).map(float)))
    scores = draw(hnp.arrays(np.float32, n, elements=st.integers(0, 20).map(lambda v: v / 20)))
    return np.concatenate([low, low + side], 1), scores.astype(np.float32)


def naive_nms(boxes, scores, threshold):
    """The textbook loop."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        overlaps = [float(iou_matrix(boxes[i][None], boxes[j][None])[0, 0]) for j in kept]
        if all(overlap <= threshold for overlap in overlaps):
            kept.append(int(i))
    return kept


@given(boxes_and_scores(), st.sampled_from([0.13, 0.29, 0.41, 0.77]))
@settings(max_examples=60, deadline=None)
def test_nms_equals_the_naive_loop(case, threshold):
    boxes, scores = case
    assert nms(boxes, scores, threshold).tolist() == naive_nms(boxes, scores, threshold)


@pytest.mark.long
def test_nms_stops_at_the_limit_and_stays_greedy_past_compaction():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 400, (600, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, (600, 2))], 1).astype(np.float32)
    scores = rng.random(600).astype(np.float32)
    reference = naive_nms(boxes, scores, 0.4)
    assert len(reference) > 200, "the case must pass several compactions"
    assert nms(boxes, scores, 0.4).tolist() == reference
    assert nms(boxes, scores, 0.4, 50).tolist() == reference[:50]


@given(
    hnp.arrays(np.float32, (7, 2), elements=floats),
    hnp.arrays(np.float32, (7, 2), elements=sizes),
    hnp.arrays(np.float32, (7, 2), elements=floats),
    st.sampled_from([16, 32, 64, 128, 256, 512]),
)
@settings(deadline=None)
def test_boxes_survive_encode_and_decode(low, side, centre, prior):
    boxes = np.concatenate([low, low + side], 1)
    priors = np.concatenate([centre, np.full((7, 2), prior, np.float32)], 1)
    again = decode_boxes(encode_boxes(boxes, priors, VARIANCES), priors, VARIANCES)
    np.testing.assert_allclose(again, boxes, atol=0.05, rtol=1e-4)


@given(hnp.arrays(np.float32, (5, 5, 2), elements=floats), hnp.arrays(np.float32, (5, 2), elements=floats))
@settings(deadline=None)
def test_landmarks_survive_encode_and_decode(points, centre):
    priors = np.concatenate([centre, np.full((5, 2), 32, np.float32)], 1)
    again = decode_landmarks(encode_landmarks(points, priors, VARIANCES), priors, VARIANCES)
    np.testing.assert_allclose(again, points, atol=0.01, rtol=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([0, 0, 10, 10], [0, 0, 10, 10], 1.0, id="the same box"),
        pytest.param([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3, id="half shared"),
        pytest.param([0, 0, 10, 10], [10, 0, 20, 10], 0.0, id="touching sides share nothing"),
        pytest.param([0, 0, 0, 10], [0, 0, 0, 10], 0.0, id="an empty box overlaps nothing, not even itself"),
    ],
)
def test_iou(first, second, expected):
    pair = iou_matrix(np.array([first], np.float32), np.array([second], np.float32))
    assert pair[0, 0] == pytest.approx(expected)


def test_voting_moves_a_box_towards_those_it_overlaps_by_their_scores():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [100, 100, 110, 110]], np.float32)
    heard = voices(boxes[:1], boxes, np.array([0.9, 0.3, 0.9], np.float32), 0.5)
    voted = vote(boxes[:1], boxes, heard)
    np.testing.assert_allclose(voted, [[0.5, 0, 10.5, 10]], atol=1e-5)


FACE = [0.0, 0.0, 10.0, 10.0]
NEARLY = [1.0, 0.0, 11.0, 10.0]
ELSEWHERE = [50.0, 50.0, 60.0, 60.0]


@pytest.mark.parametrize(
    ("passes", "expected"),
    [
        pytest.param([([FACE], [0.8]), ([FACE], [0.8])], 0.8, id="all say the same"),
        pytest.param([([FACE], [0.8]), ([NEARLY], [0.8])], 0.8, id="nearly the same box is the same face"),
        pytest.param([([FACE], [0.8]), ([], [])], 0.8 * 0.5**0.5, id="one of two alone"),
        pytest.param([([FACE], [0.8]), ([ELSEWHERE], [0.9])], 0.8 * 0.5**0.5, id="another face is no voice"),
        pytest.param([([FACE], [0.8]), ([FACE], [0.2])], (0.8 * 0.5) ** 0.5, id="a doubtful voice"),
        pytest.param([([FACE, NEARLY], [0.8, 0.7])], 0.8, id="two boxes of one pass are one voice"),
    ],
)
def test_scores_sink_where_passes_do_not_agree(passes, expected):
    boxes = np.array([box for found, _ in passes for box in found], np.float32)
    scores = np.array([score for _, found in passes for score in found], np.float32)
    heard = voices(np.array([FACE], np.float32), boxes, scores, 0.5)
    source = np.repeat(np.arange(len(passes)), [len(found) for found, _ in passes])
    agreed = agreement(np.array([0.8], np.float32), heard, source, len(passes))
    assert agreed[0] == pytest.approx(expected, abs=1e-6)


def test_nothing_found_has_no_scores():
    empty = np.zeros((0, 4), np.float32)
    heard = voices(empty, empty, empty[:, 0], 0.5)
    assert agreement(empty[:, 0], heard, np.zeros(0, int), 2).shape == (0,)


@pytest.mark.parametrize(
    ("box", "score", "part", "why"),
    [
        ((120, 120, 160, 160), 0.9, True, "an eye within the face"),
        ((120, 120, 160, 160), 0.99, True, "a little louder than the face"),
        ((110, 110, 390, 390), 0.9, False, "nearly as large: another box of the same face, which NMS judges"),
        ((380, 120, 420, 160), 0.9, False, "half outside: a neighbour"),
        ((500, 500, 540, 540), 0.9, False, "elsewhere"),
    ],
)
def test_parts_of_a_larger_face(box, score, part, why):
    boxes = np.array([(100, 100, 400, 400), box], np.float32)
    large = np.array([True, False])
    found = parts_of_larger(boxes, np.array([0.85, score], np.float32), large)
    assert found.tolist() == [False, part], why
    assert not parts_of_larger(boxes, np.array([0.3, score], np.float32), large).any(), (
        "the large one is the mistake"
    )
    assert not parts_of_larger(boxes, np.array([0.85, score], np.float32), large & False).any()


def test_no_boxes_have_no_parts():
    assert parts_of_larger(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, bool)
    ).shape == (0,)
