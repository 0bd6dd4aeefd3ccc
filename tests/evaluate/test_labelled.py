"""COCO's AP and the landmarks' error, on sets small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from featherface.detections import Detections
from featherface.evaluate.coco import coco_ap
from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.landmarks import landmark_error

SMALL, MEDIUM, LARGE = (0, 0, 20, 20), (100, 0, 50, 50), (200, 0, 100, 100)
SHIFTED = (100, 0, 50, 40)
"""Overlaps MEDIUM by 0.8: right at IoU 0.5 to 0.8, wrong at 0.85, 0.9, 0.95."""
POINTS = np.array([[10, 10], [30, 10], [20, 20], [10, 30], [30, 30]], float)


def truth(boxes, counted=None, landmarks=None):
    boxes = np.array(boxes, float).reshape(-1, 4)
    mask = np.ones(len(boxes), bool) if counted is None else np.array(counted, bool)
    return ImageTruth(".", "a", boxes, {"all": mask}, landmarks)


@pytest.mark.parametrize(
    ("faces", "counted", "rows", "expected"),
    [
        pytest.param(
            [MEDIUM], None, [(*MEDIUM, 0.9)], {"ap": 1, "ap50": 1, "ap75": 1, "medium": 1}, id="found"
        ),
        pytest.param([MEDIUM], None, [(*SHIFTED, 0.9)], {"ap": 0.7, "ap50": 1, "ap75": 1}, id="not exactly"),
        pytest.param([MEDIUM], None, [], {"ap": 0, "ap50": 0}, id="no detections"),
        pytest.param(
            [SMALL, LARGE], None, [(*LARGE, 0.9)], {"small": 0, "large": 1, "medium": math.nan}, id="by size"
        ),
        pytest.param(
            [MEDIUM, LARGE],
            [1, 0],
            [(*LARGE, 0.9), (*MEDIUM, 0.5)],
            {"ap": 1, "large": math.nan},
            id="ignored",
        ),
    ],
)
def test_coco_ap(faces, counted, rows, expected):
    found = coco_ap({(".", "a"): np.array(rows, float).reshape(-1, 5)}, [truth(faces, counted)], "all")
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, abs=1e-6, nan_ok=True), name


def test_a_crowd_is_not_cut_off_at_a_hundred_faces():
    boxes = [(30 * (i % 20), 30 * (i // 20), 20, 20) for i in range(150)]
    rows = np.array([(*box, 0.9) for box in boxes], float)
    assert coco_ap({(".", "a"): rows}, [truth(boxes)], "all").ap == pytest.approx(1)


def detections(boxes, scores, landmarks):
    return Detections(np.array(boxes, float), np.array(scores), np.array(landmarks), 400, 400)


def test_landmark_error_is_relative_to_the_faces_size():
    picture = truth([(0, 0, 40, 40)], landmarks=POINTS[None])
    found = detections([(0, 0, 40, 40)], [0.9], [POINTS + np.array([3, 4])])
    error = landmark_error([found], [picture], "all")
    assert (error.labelled, error.found) == (1, 1)
    assert error.mean == pytest.approx(5 / 40) and error.median == pytest.approx(5 / 40)
    assert error.over_a_tenth == 1 and error.by_point["nose"] == pytest.approx(5 / 40)


def test_only_the_best_detection_of_a_labelled_face_counts():
    far = (200, 200, 40, 40)
    landmarks = np.stack([POINTS, np.full((5, 2), np.nan), POINTS + 200])
    picture = truth([(0, 0, 40, 40), (100, 100, 40, 40), far], [1, 1, 0], landmarks)
    corners = [(0, 0, 40, 40), (0, 0, 40, 39), (100, 100, 140, 140), (200, 200, 240, 240)]
    found = detections(corners, [0.8, 0.9, 0.7, 0.6], [POINTS + 8, POINTS, POINTS, POINTS])
    error = landmark_error([found], [picture], "all")
    assert (error.labelled, error.found, error.mean) == (1, 1, 0), (
        "the face ignored and the one unlabelled are out"
    )


def test_no_face_found_is_unknown_not_zero():
    error = landmark_error([Detections.empty(9, 9)], [truth([LARGE], landmarks=POINTS[None])], "all")
    assert (error.labelled, error.found) == (1, 0) and math.isnan(error.mean)
    assert landmark_error([Detections.empty(9, 9)], [truth([LARGE])], "all").labelled == 0
