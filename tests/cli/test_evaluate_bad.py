"""`featherface evaluate` names what is wrong with its options, predictions, pictures and ground truth."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from wider_folder import FACE, break_mat, cells, faces_with


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "march.txt: empty", id="empty file"),
        pytest.param(
            "march\n2\n1 2 3 4 0.5\n", "march.txt:2: announces 2 detections, holds 1", id="wrong count"
        ),
        pytest.param("march\n1\n1 nan 3 4 0.5\n", "march.txt:3: a value is not a finite number", id="NaN"),
        pytest.param("march\n1\n1 2 3 -4 0.5\n", "march.txt:3: negative size 3 x -4", id="negative size"),
        pytest.param("march\n1\n1 2 3 4\n", "march.txt:3: 4 numbers", id="no score"),
        pytest.param("march\n1\n" + "1 2 3 4 0.5 " * 3, "march.txt:3: 15 numbers", id="three in a line"),
        pytest.param("\0\1\2\n\xff\n", "march.txt:2: ", id="not a text file"),
    ],
)
def test_a_bad_prediction_file_is_named_with_its_line(run, wider, predicted, text, reason):
    (predicted / "0--Parade" / "march.txt").write_text(text, encoding="latin-1")
    outcome = run("evaluate", "--data", wider, "--predictions", predicted)
    assert outcome.code == 1 and reason in outcome.err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        pytest.param("wider_face_val.mat", b"", "wider_face_val.mat: not a readable", id="empty"),
        pytest.param(
            "wider_face_val.mat", b"\1 no matlab " * 90, "wider_face_val.mat: not a readable", id="not .mat"
        ),
        pytest.param(
            "wider_hard_val.mat", {"x": 1}, "wider_hard_val.mat: not the official", id="other content"
        ),
        pytest.param("wider_hard_val.mat", {"gt_list": np.ones(3)}, "not the official", id="other shape"),
        pytest.param(
            "wider_hard_val.mat",
            {"gt_list": cells(*[cells(np.array([[2]]))] * 2)},
            "not the official",
            id="a face there is not",
        ),
        pytest.param(
            "wider_hard_val.mat",
            {"gt_list": cells(*[cells(np.array([[0]]))] * 2)},
            "not the official",
            id="counted from 0",
        ),
        pytest.param(
            "wider_easy_val.mat",
            {"gt_list": cells(*[cells(np.array([[1.5]]))] * 2)},
            "wider_easy_val.mat: not the official ground truth (0--Parade/march: gt_list"
            " holds numbers of faces, not 1.5",
            id="half a face",
        ),
        pytest.param(
            "wider_hard_val.mat",
            {"gt_list": cells(*[cells(np.zeros((0, 1)))] * 2)},
            "wider_hard_val.mat: not the official ground truth (0--Parade/march: a face of medium is missing in hard",
            id="hard without what medium has",
        ),
        pytest.param(
            "wider_face_val.mat",
            faces_with([FACE[0], np.nan, *FACE[2:]]),
            "wider_face_val.mat: not the official ground truth (0--Parade/march: a box is not finite",
            id="NaN",
        ),
        pytest.param(
            "wider_face_val.mat",
            faces_with([*FACE[:3], -50]),
            "wider_face_val.mat: not the official ground truth (0--Parade/march: a box is of negative size",
            id="negative size",
        ),
        pytest.param(
            "wider_face_val.mat",
            faces_with([*FACE, 1]),
            "wider_face_val.mat: not the official ground truth (0--Parade/march: boxes of shape",
            id="five numbers a box",
        ),
    ],
)
def test_a_foreign_mat_is_named(run, wider, predicted, name, content, reason):
    break_mat(wider, name, content)
    outcome = run("evaluate", "--data", wider, "--predictions", predicted)
    assert outcome.code == 1 and reason in outcome.err


def test_an_unknown_event_is_named(run, wider, predicted):
    (predicted / "99--Moon").mkdir()
    outcome = run("evaluate", "--data", wider, "--predictions", predicted)
    assert outcome.code == 1 and "99--Moon: not an event" in outcome.err
    (wider / "val" / "images" / "99--Moon").mkdir()
    shutil.copy(wider / "val/images/0--Parade/march.jpg", wider / "val/images/99--Moon/landing.jpg")
    outcome = run("evaluate", "--data", wider)
    assert outcome.code == 1 and "landing.jpg: unknown to the ground truth" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["--split", "test"], "has no such sub-folder", id="unknown split"),
        pytest.param(["--predictions", "nowhere"], "nowhere: no such folder", id="no predictions"),
        pytest.param(["--protocol", "best"], "'best'", id="unknown protocol"),
        pytest.param(["--protocol", "vga", "--long-side", "320"], "leave --protocol out", id="two protocols"),
        pytest.param(["--curves", "nowhere", "--report", "page"], "nowhere", id="no curves"),
        pytest.param(["--curves", "nowhere"], "name its folder with --report", id="curves without a report"),
        pytest.param(["--format", "csv"], "'csv'", id="unknown format"),
        pytest.param(["--model", "none.onnx"], "none.onnx", id="no model"),
        pytest.param(["--report", __file__], "test_evaluate_bad.py: a file", id="report onto a file"),
        pytest.param(["--json", "."], ".: a folder", id="JSON onto a folder"),
        pytest.param(["--scales", ""], "--scales ''", id="no scales"),
        pytest.param(["--long-side", "0"], "long side 0", id="no size"),
        pytest.param(["--scales", "1,17"], "at most 16", id="a scale too large"),
        pytest.param(
            ["--predictions", "p", "--model", "v2", "--long-side", "9"],
            "--model, --long-side: says how a model is run",
            id="how to run no model",
        ),
    ],
)
def test_wrong_options_are_named(run, wider, arguments, reason):
    outcome = run("evaluate", "--data", wider, *arguments)
    assert outcome.code == 1 and reason in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(["--model", "none.onnx"], "none.onnx", id="model"),
        pytest.param(["--long-side", "-3"], "long side -3", id="size"),
        pytest.param(["--protocol", "best"], "'best'", id="protocol"),
    ],
)
def test_wrong_options_are_named_before_the_labels_are_read(run, tmp_path, options, reason):
    outcome = run("evaluate", "--data", tmp_path / "nowhere", *options)
    assert outcome.code == 1 and reason in outcome.err and "nowhere" not in outcome.err


@pytest.mark.parametrize("content", [pytest.param(b"", id="empty"), pytest.param(b"no picture", id="broken")])
def test_a_picture_that_cannot_be_read_is_named(run, wider, content):
    (wider / "val" / "images" / "0--Parade" / "march.jpg").write_bytes(content)
    outcome = run("evaluate", "--data", wider)
    assert outcome.code == 1 and "march.jpg" in outcome.err and "Traceback" not in outcome.err


@pytest.mark.parametrize("option", ["--json", "--report", "--save-predictions"])
def test_a_place_that_cannot_be_written_is_named(run, wider, predicted, tmp_path, option):
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "below"
    outcome = run("evaluate", "--data", wider, "--predictions", predicted, option, target)
    assert outcome.code == 1 and "below" in outcome.err and "cannot be written" in outcome.err


def test_no_pictures_is_an_error(run, wider):
    shutil.rmtree(wider / "val" / "images")
    (wider / "val" / "images").mkdir()
    outcome = run("evaluate", "--data", wider)
    assert outcome.code == 1 and "holds no pictures" in outcome.err
