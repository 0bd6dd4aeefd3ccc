"""The evaluator agrees with an independent one, and with small cases worked out by hand."""

from __future__ import annotations

import contextlib
import json
import time

import numpy as np
import pytest

from featherface.errors import ConfigError, DataError
from featherface.evaluate.ground_truth import SUBSETS, ImageTruth, load_ground_truth
from featherface.evaluate.predictions import (
    other_files,
    read_prediction_file,
    read_predictions,
    write_predictions,
)
from featherface.evaluate.protocol import Protocol
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


@pytest.mark.parametrize(
    ("factor", "shift"),
    [
        pytest.param(1, 100, id="far above 1"),
        pytest.param(50, 50, id="another scale"),
        pytest.param(1, -3, id="all negative"),
    ],
)
def test_ap_knows_the_order_of_scores_only(factor, shift):
    truths = [truth([FACE, OTHER]), truth([FACE], name="b")]
    found = {("event", "a"): [[*FACE, 0.95], [*FAR, 0.55], [*OTHER, 0.35]], ("event", "b"): [[*FACE, 0.15]]}
    aps = []
    for rows in (found, {k: [[*r[:4], r[4] * factor + shift] for r in v] for k, v in found.items()}):
        aps.append(evaluate({key: np.array(value) for key, value in rows.items()}, truths).ap["hard"])
    assert 0.5 < aps[0] < 1 and aps[1] == pytest.approx(aps[0], abs=1e-9)


@pytest.mark.parametrize(
    ("subsets", "ap"),
    [
        pytest.param(SUBSETS, 1.0, id="the toolkit leaves it out"),
        pytest.param(("all",), 0.5, id="on own labels it counts"),
    ],
)
def test_a_false_alarm_where_there_is_no_face(subsets, ap):
    masks = [dict.fromkeys(subsets, np.ones(n, bool)) for n in (1, 0)]
    truths = [
        ImageTruth("event", "a", np.array([FACE], float), masks[0]),
        ImageTruth("event", "b", np.zeros((0, 4)), masks[1]),
    ]
    found = {("event", "a"): np.array([[*FACE, 0.5]]), ("event", "b"): np.array([[*FACE, 0.9]])}
    assert evaluate(found, truths).ap[subsets[-1]] == pytest.approx(ap)


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
        pytest.param(
            "a\n1\n1 2 3 4 0.5 1\n", ":3: 6 numbers; a detection has x y w h score", id="one number more"
        ),
        pytest.param("a\n1\n" + "1 2 3 4 0.5 " * 3, ":3: 15 numbers", id="three detections in a line"),
        pytest.param("a\n5\n1\n2\n3\n4\n1\n", ":3: 1 numbers", id="one detection over five lines"),
        pytest.param("a\n2\n\n1 2 3 4 0.5\n\n1 2 3 -4 0.5\n", ":6: negative", id="after blank lines"),
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


@pytest.mark.parametrize(
    ("text", "count"),
    [
        pytest.param("a\n0\n", 0, id="none"),
        pytest.param("a\n2\n\n1 2 3 4 0.5\n\n1 2 3 4 0.25\n", 2, id="blank lines between"),
    ],
)
def test_good_prediction_files(tmp_path, text, count):
    (tmp_path / "a.txt").write_text(text)
    assert read_prediction_file(tmp_path / "a.txt").shape == (count, 5)


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


def test_text_files_of_no_picture_are_found(tmp_path):
    for name in ("event/a.txt", "event/b.txt", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert other_files(tmp_path, {("event", "a")}) == [tmp_path / "event" / "b.txt", tmp_path / "notes.txt"]


@pytest.mark.parametrize(
    ("long_side", "scales", "size", "fits"),
    [
        pytest.param(640, (1.0,), (640, 640), True, id="vga"),
        pytest.param(None, (1.0,), (640, 640), False, id="the original size may be larger"),
        pytest.param(None, (1.0,), None, True, id="takes any size"),
        pytest.param(640, (1.0,), (480, 640), False, id="a portrait is as high as it is long"),
        pytest.param(320, (1.0, 2.0), (640, 640), True, id="the largest scale just fits"),
        pytest.param(640, (0.5, 1.5), (640, 640), False, id="the largest scale does not"),
    ],
)
def test_a_model_of_one_size_fits_some_protocols(long_side, scales, size, fits):
    how = Protocol("custom", long_side=long_side, scales=scales)
    with contextlib.nullcontext() if fits else pytest.raises(ConfigError, match=r"m\.onnx.*--long-side"):
        how.check_fits("m.onnx", size)


@pytest.mark.shared
def test_every_nth_is_spread_evenly(shared):
    pictures = load_set(shared / "data" / "widerface")
    some = every_nth(pictures, 10)
    assert len(some.truths) == 10 and len({t.event for t in some.truths}) > 7
