"""The evaluator agrees with an independent one, and with small cases worked out by hand."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from featherface.errors import DataError
from featherface.evaluate.ground_truth import SUBSETS, ImageTruth, load_ground_truth
from featherface.evaluate.predictions import read_prediction_file, read_predictions, write_predictions
from featherface.evaluate.run import every_nth, load_set
from featherface.evaluate.wider import average_precision, evaluate, iou_plus_one


@pytest.mark.shared
def test_agrees_with_the_independent_evaluator(shared):
    pictures = load_set(shared / "data" / "widerface")
    folder = shared / "published" / "predictions_v1_val400"
    expected = json.loads((folder / "expected.json").read_text())
    rows, missing = read_predictions(folder, pictures.truths)
    start = time.perf_counter()
    result = evaluate(rows, pictures.truths)
    assert time.perf_counter() - start < 30, "worked out in a fraction of a second; minutes mean a mistake"
    assert not missing and result.images == expected["images"]
    assert result.faces == expected["faces"]
    for subset in SUBSETS:
        assert abs(result.ap[subset] - expected["ap"][subset]) < 0.0005


@pytest.mark.shared
def test_the_full_set_counts_what_the_benchmark_counts(shared):
    truths = load_ground_truth(shared / "data" / "widerface" / "ground_truth")
    counts = {s: sum(int(t.counted[s].sum()) for t in truths) for s in SUBSETS}
    assert len(truths) == 3226
    assert counts == {"easy": 7211, "medium": 13319, "hard": 31958}


def truth(boxes, counted=None, name="a"):
    boxes = np.array(boxes, float).reshape(-1, 4)
    mask = np.ones(len(boxes), bool) if counted is None else np.array(counted, bool)
    return ImageTruth("event", name, boxes, dict.fromkeys(SUBSETS, mask))


FACE, OTHER, FAR = [0, 0, 19, 19], [100, 0, 19, 19], [300, 300, 19, 19]


@pytest.mark.parametrize(
    ("truths", "rows", "ap"),
    [
        pytest.param([truth([FACE])], [[*FACE, 0.9]], 1.0, id="found"),
        pytest.param([truth([FACE])], [[*FAR, 0.9]], 0.0, id="missed, and a false alarm"),
        pytest.param([truth([FACE, OTHER])], [[*FACE, 0.9]], 0.5, id="half found"),
        pytest.param([truth([FACE])], [[*FAR, 0.9], [*FACE, 0.5]], 0.5, id="a false alarm scores higher"),
        pytest.param([truth([FACE])], [[*FACE, 0.9], [*FAR, 0.5]], 1.0, id="a false alarm scores lower"),
        # The toolkit counts a second detection of a face as proposed but finds nothing new with it.
        pytest.param(
            [truth([FACE, OTHER])], [[*FACE, 0.9], [*FACE, 0.8], [*OTHER, 0.1]], 5 / 6, id="found twice"
        ),
        pytest.param([truth([FACE, OTHER], [1, 0])], [[*OTHER, 0.9], [*FACE, 0.5]], 1.0, id="ignored face"),
        pytest.param([truth([FACE]), truth([], name="b")], [[*FACE, 0.9]], 1.0, id="a picture without faces"),
    ],
)
def test_small_cases(truths, rows, ap):
    assert evaluate({("event", "a"): np.array(rows)}, truths).ap["hard"] == pytest.approx(ap, abs=1e-6)


def test_boxes_cover_one_pixel_more_than_their_width():
    iou = iou_plus_one(np.array([[0.0, 0, 9, 9]]), np.array([[5.0, 0, 9, 9]]))
    assert iou[0, 0] == pytest.approx(50 / 150)


def test_no_predictions_is_zero_not_an_error():
    assert evaluate({}, [truth([FACE])]).ap == dict.fromkeys(SUBSETS, 0.0)


def test_precision_is_raised_to_the_best_at_higher_recall():
    assert average_precision(np.array([0.5, 1.0]), np.array([0.5, 1.0])) == pytest.approx(1.0)


def test_prediction_files_survive_writing(tmp_path):
    rows = np.array([[1.5, 2.25, 30, 40, 0.875]])
    write_predictions(tmp_path, "event", "a", rows)
    found, missing = read_predictions(tmp_path, [truth([FACE]), truth([FACE], name="b")])
    np.testing.assert_allclose(found["event", "a"], rows)
    assert missing == ["event/b"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("a\nmany\n", ":2: 'many' is not a count", id="no count"),
        pytest.param("a\n2\n1 2 3 4 0.5\n", ":2: announces 2 detections, holds 1", id="wrong count"),
        pytest.param("a\n1\n1 2 3 0.5\n", ":3: 4 numbers", id="too few numbers"),
        pytest.param("a\n1\n1 2 nan 4 0.5\n", ":3: .*finite", id="NaN"),
        pytest.param("a\n1\n1 2 -3 4 0.5\n", ":3: negative", id="negative size"),
        pytest.param("a\n1\n1 2 x 4 0.5\n", ":3: ", id="not a number"),
    ],
)
def test_bad_prediction_files_are_named_with_their_line(tmp_path, text, reason):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=f"bad.txt.*{reason}"):
        read_prediction_file(path)


def test_unknown_events_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_predictions(tmp_path / "none", [truth([FACE])])
    with pytest.raises(DataError, match="holds no prediction"):
        read_predictions(tmp_path, [truth([FACE])])
    (tmp_path / "party").mkdir()
    with pytest.raises(DataError, match=r"party.*not an event"):
        read_predictions(tmp_path, [truth([FACE])])


def test_a_mat_file_that_is_not_one_is_named(tmp_path):
    (tmp_path / "wider_face_val.mat").write_bytes(b"no matlab here" * 20)
    with pytest.raises(DataError, match=r"wider_face_val\.mat"):
        load_ground_truth(tmp_path)


@pytest.mark.shared
def test_every_nth_is_spread_evenly(shared):
    pictures = load_set(shared / "data" / "widerface")
    some = every_nth(pictures, 10)
    assert len(some.truths) == 10 and len({t.event for t in some.truths}) > 7
