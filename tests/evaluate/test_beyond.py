"""Figures beyond AP, on sets small enough to count by hand; and the report page."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from featherface.errors import DataError
from featherface.evaluate.beyond import look_beyond, to_dict
from featherface.evaluate.ground_truth import SUBSETS, ImageTruth
from featherface.evaluate.report import read_public_curves, write_report
from featherface.evaluate.wider import evaluate

SMALL, MIDDLE, LARGE = [10, 10, 10, 12], [50, 50, 30, 40], [120, 120, 100, 120]
NOWHERE = [300, 300, 20, 20]


def truth(name, boxes, event="0--Parade"):
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    return ImageTruth(event, name, boxes, {s: np.ones(len(boxes), bool) for s in SUBSETS})


def rows(*detections):
    return np.array(detections, np.float64).reshape(-1, 5)


TRUTHS = [truth("a", [SMALL, MIDDLE]), truth("b", [LARGE], event="1--Handshaking")]
FOUND = {
    ("0--Parade", "a"): rows([*MIDDLE, 0.9], [*NOWHERE, 0.3]),
    ("1--Handshaking", "b"): rows([*LARGE, 0.8]),
}


def test_ap_by_height_and_event():
    beyond = look_beyond(FOUND, TRUTHS)
    assert [(p.faces, p.ap) for p in beyond.by_height] == [
        (1, 0.0),
        (0, pytest.approx(np.nan, nan_ok=True)),
        (1, 1.0),
        (1, 1.0),
    ]
    assert to_dict(beyond)["by_height"]["16 to 32 px"] == {"faces": 0, "ap": None}
    assert [(p.name, p.faces) for p in beyond.by_event] == [("0--Parade", 2), ("1--Handshaking", 1)]
    assert beyond.by_event[0].ap == pytest.approx(0.5) and beyond.by_event[1].ap == pytest.approx(1.0)


def test_recall_where_one_picture_in_ten_has_a_false_alarm():
    beyond = look_beyond(FOUND, TRUTHS)
    assert beyond.threshold_at_few_alarms == pytest.approx(0.3), "two pictures allow none"
    assert beyond.recall_at_few_alarms == dict.fromkeys(SUBSETS, pytest.approx(2 / 3))


def test_misses_are_the_tallest_first_and_alarms_the_surest():
    more = {**FOUND, ("1--Handshaking", "b"): rows([*NOWHERE, 0.95])}
    beyond = look_beyond(more, TRUTHS)
    assert [m.box[3] for m in beyond.misses] == [120, 40, 12]
    assert [(a.picture, a.score) for a in beyond.alarms] == [(1, 0.95), (0, 0.3)]


def test_calibration_is_precision_by_score():
    bins = {round(b.low, 1): b for b in look_beyond(FOUND, TRUTHS).calibration}
    assert bins[0.9].precision == 1 and bins[0.8].precision == 1 and bins[0.3].precision == 0
    assert sum(b.detections for b in bins.values()) == 3


def test_calibration_of_scores_that_are_no_shares_is_of_normalised_ones():
    logits = {key: np.column_stack([found[:, :4], 20 * found[:, 4] - 10]) for key, found in FOUND.items()}
    bins = look_beyond(logits, TRUTHS).calibration
    assert [(b.low, b.detections, b.precision) for b in bins] == [
        (0.0, 1, 0),
        (0.8, 1, 1),
        (0.9, 1, 1),
    ], "0.3, 0.8 and 0.9 become 0, 5/6 and 1"


def test_all_detections_count_where_alarms_are_few_whatever_their_scores():
    negative = {("0--Parade", "a"): rows([*MIDDLE, -5.0]), ("1--Handshaking", "b"): rows([*LARGE, -2.0])}
    assert look_beyond(negative, TRUTHS).recall_at_few_alarms["hard"] == pytest.approx(2 / 3)


def test_an_alarm_where_there_is_no_face_is_one_in_every_figure_but_the_toolkits_ap():
    truths = [*TRUTHS, truth("c", [])]
    found = {**FOUND, ("0--Parade", "c"): rows([*NOWHERE, 0.95])}
    beyond = look_beyond(found, truths)
    assert (beyond.alarms[0].picture, beyond.alarms[0].score) == (2, 0.95)
    assert beyond.threshold_at_few_alarms == 0.95
    assert min(b.precision for b in beyond.calibration if b.low > 0.85) == 0.5
    assert evaluate(found, truths).ap == evaluate(FOUND, TRUTHS).ap


def test_no_predictions_at_all_is_no_crash():
    beyond = look_beyond({}, TRUTHS)
    assert beyond.recall_at_few_alarms["hard"] == 0 and len(beyond.misses) == 3
    assert set(to_dict(beyond)) == {
        "by_height",
        "by_event",
        "recall_at_one_false_alarm_in_ten_images",
        "calibration",
    }


def test_the_report_is_one_file_that_needs_no_other(tmp_path):
    paths = [tmp_path / "a.jpg", tmp_path / "gone.jpg"]
    cv2.imwrite(str(paths[0]), np.full((400, 400, 3), 120, np.uint8))
    target = tmp_path / "report" / "index.html"
    curve = np.column_stack([np.linspace(1, 0.5, 20), np.linspace(0, 0.9, 20)])
    others = {"Other <detector>": dict.fromkeys(SUBSETS, curve)}
    result = evaluate(FOUND, TRUTHS)
    write_report(target, "A & B", {"model": "model <x>"}, result, look_beyond(FOUND, TRUTHS), paths, others)
    page = target.read_text()
    assert "A &amp; B" in page and "model &lt;x&gt;" in page and "66.67" in page
    assert page.count("data:image/jpeg") == 2, "one miss, one false alarm; the lost picture is left out"
    assert "of all 3,226 pictures of the validation set, this one is of 2." in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


CURVE = "wider_pr_info_SCRFD_hard_val.mat"
POINTS = np.column_stack([np.linspace(1, 0.5, 20), np.linspace(0, 0.9, 20)])


@pytest.mark.parametrize(
    ("place", "values", "length"),
    [
        pytest.param(".", POINTS, 20, id="a folder"),
        pytest.param(CURVE, POINTS, 20, id="one file"),
        pytest.param(".", np.vstack([[np.nan, 0], POINTS]), 20, id="0/0 before the first detection"),
    ],
)
def test_public_curves_are_read(tmp_path, place, values, length):
    savemat(tmp_path / CURVE, {"pr_cruve": values})
    assert read_public_curves(tmp_path / place)["SCRFD"]["hard"].shape == (length, 2)


@pytest.mark.parametrize(
    ("name", "content", "place", "reason"),
    [
        pytest.param(CURVE, {"other": np.ones(3)}, ".", "SCRFD_hard.*curve files", id="another file"),
        pytest.param(CURVE, {"pr_cruve": np.ones((3, 3))}, ".", "SCRFD_hard.*shape", id="no pairs"),
        pytest.param(CURVE, {"pr_cruve": np.full((3, 2), np.nan)}, ".", "no point", id="all NaN"),
        pytest.param(
            "curve.mat", {"pr_cruve": POINTS}, "curve.mat", "not called wider_pr", id="another name"
        ),
        pytest.param("curve.mat", {"pr_cruve": POINTS}, ".", "holds no wider_pr", id="none in the folder"),
        pytest.param(CURVE, {"pr_cruve": POINTS}, "empty", "holds no wider_pr", id="no folder"),
    ],
)
def test_bad_public_curves_are_named(tmp_path, name, content, place, reason):
    savemat(tmp_path / name, content)
    with pytest.raises(DataError, match=reason):
        read_public_curves(tmp_path / place)
