"""`featherface evaluate` from end to end, on a WIDER FACE folder of two pictures."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
from scipy.io import savemat

from featherface.zoo import find_model

EVENTS = {"0--Parade": "march", "1--Handshaking": "greeting"}
FACE = (180, 60, 92, 118)
FILE = "march\n1\n180 60 92 118 0.9\n"


def cells(*values):
    """A MATLAB cell array, as a column."""
    column = np.empty((len(values), 1), object)
    for i, value in enumerate(values):
        column[i, 0] = value
    return column


def faces_with(box):
    """A wider_face_val.mat whose pictures have this one face."""
    return {
        "event_list": cells(*EVENTS),
        "file_list": cells(*map(cells, EVENTS.values())),
        "face_bbx_list": cells(*(cells(np.array([box], float)) for _ in EVENTS)),
    }


@pytest.fixture
def wider(examples, tmp_path):
    """Two events of one portrait each, in WIDER FACE's layout with its four .mat files."""
    root = tmp_path / "wider"
    for event, name in EVENTS.items():
        (root / "val" / "images" / event).mkdir(parents=True)
        shutil.copy(examples / "eileen_collins.jpg", root / "val" / "images" / event / f"{name}.jpg")
    (root / "ground_truth").mkdir()
    savemat(root / "ground_truth" / "wider_face_val.mat", faces_with(FACE))
    for subset in ("easy", "medium", "hard"):
        kept = cells(*(cells(np.array([[1]])) for _ in EVENTS))
        savemat(root / "ground_truth" / f"wider_{subset}_val.mat", {"gt_list": kept})
    return root


@pytest.fixture
def predicted(tmp_path):
    """Prediction files of both pictures, each with its face."""
    folder = tmp_path / "predictions"
    for event, name in EVENTS.items():
        (folder / event).mkdir(parents=True)
        (folder / event / f"{name}.txt").write_text(FILE)
    return folder


def test_a_model_is_evaluated_and_its_predictions_give_the_same(run, wider, tmp_path):
    saved, first, second = tmp_path / "saved", tmp_path / "first.json", tmp_path / "second.json"
    outcome = run("evaluate", "--data", wider, "--save-predictions", saved, "--json", first)
    assert outcome.code == 0, outcome.err
    assert f"own ground truth in {wider}: 2 pictures, faces 2 / 2 / 2" in outcome.out
    assert "AP  Easy 100.00  Medium 100.00  Hard 100.00" in outcome.out
    assert "original: original size, one scale, score over 0.02, NMS 0.4, at most 750" in outcome.out
    assert run("evaluate", "--data", wider, "--predictions", saved, "--json", second).code == 0
    of_model, of_files = json.loads(first.read_text()), json.loads(second.read_text())
    assert of_model["ap"] == of_files["ap"] == {"easy": 1, "medium": 1, "hard": 1}
    assert of_model["faces"] == {"easy": 2, "medium": 2, "hard": 2} and of_model["images"] == 2
    assert (of_model["protocol"], of_files["protocol"]) == ("original", "predictions")
    assert (of_model["predictions"], of_files["predictions"]) == (None, str(saved))


@pytest.mark.parametrize(
    ("options", "said", "settings"),
    [
        pytest.param(["--protocol", "vga"], "vga: long side 640", {"long_side": 640}, id="vga"),
        pytest.param(
            ["--protocol", "detect"], "tall pictures also as an overview", {"scales": None}, id="detect"
        ),
        pytest.param(
            ["--protocol", "multiscale"],
            "scales 0.5, 1, 1.5, 2, flip, score",
            {"flip": True},
            id="multiscale",
        ),
        pytest.param(
            ["--protocol", "agreement"],
            "scales 0.5, 1, 1.5, 2, flip, scores by agreement",
            {"flip": True, "agree": True},
            id="agreement",
        ),
        pytest.param(["--long-side", "320"], "custom: long side 320", {"long_side": 320}, id="own size"),
        pytest.param(["--scales", "0.5,1"], "scales 0.5, 1,", {"scales": [0.5, 1]}, id="own scales"),
    ],
)
def test_every_result_names_its_protocol(run, wider, tmp_path, options, said, settings):
    outcome = run("evaluate", "--data", wider, "--limit", "1", "--json", tmp_path / "r.json", *options)
    assert outcome.code == 0, outcome.err
    assert said in outcome.out
    result = json.loads((tmp_path / "r.json").read_text())
    assert settings.items() <= result["settings"].items() and result["images"] == 1


def test_all_cores_find_what_one_finds(run, wider, tmp_path):
    for workers in (1, 3):
        target = tmp_path / str(workers)
        run("evaluate", "--data", wider, "--workers", workers, "--save-predictions", target)
    for event, name in EVENTS.items():
        texts = [(tmp_path / str(n) / event / f"{name}.txt").read_text() for n in (1, 3)]
        assert texts[0] == texts[1]


def test_the_report_is_a_page(run, wider, predicted, tmp_path):
    curves = tmp_path / "curves"
    curves.mkdir()
    points = np.column_stack([np.ones(9), np.linspace(0, 1, 9)])
    savemat(curves / "wider_pr_info_Other_hard_val.mat", {"pr_cruve": points})
    options = ("--report", tmp_path / "page", "--curves", curves)
    outcome = run("evaluate", "--data", wider, "--predictions", predicted, *options)
    assert outcome.code == 0, outcome.err
    page = (tmp_path / "page" / "index.html").read_text()
    assert (
        f"own ground truth in {wider}" in page
        and "this one is of 2" in page
        and "<svg" in page
        and "0--Parade" in page
    )


def test_a_missing_prediction_file_counts_and_is_named(run, wider, predicted, tmp_path):
    (predicted / "1--Handshaking" / "greeting.txt").unlink()
    outcome = run("evaluate", "--data", wider, "--predictions", predicted, "--json", tmp_path / "r.json")
    assert outcome.code == 0 and "Hard 50.00" in outcome.out
    assert "no predictions for 1--Handshaking/greeting: counts as no detections" in outcome.err
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["without_predictions"] == ["1--Handshaking/greeting"]


def test_predictions_of_the_whole_set_serve_a_part_of_it(run, wider, predicted):
    (wider / "val" / "images" / "1--Handshaking" / "greeting.jpg").unlink()
    outcome = run("evaluate", "--data", wider, "--predictions", predicted)
    assert outcome.code == 0 and "1 pictures of own ground truth" in outcome.out, outcome.err


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


def break_mat(wider, name, content):
    if isinstance(content, dict):
        savemat(wider / "ground_truth" / name, content)
    else:
        (wider / "ground_truth" / name).write_bytes(content)


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
        pytest.param(["--report", __file__], "test_evaluate.py: a file", id="report onto a file"),
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


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        pytest.param([], 1, "takes pictures of 640x640 only", id="original size"),
        pytest.param(["--scales", "1,2", "--long-side", "640"], 1, "640x640 only", id="too large a scale"),
        pytest.param(["--protocol", "vga"], 0, "", id="vga"),
        pytest.param(["--long-side", "320"], 0, "", id="smaller"),
    ],
)
def test_a_model_of_one_size_is_evaluated_at_sizes_that_fit(run, wider, fixed, options, code, said):
    outcome = run("evaluate", "--data", wider, "--limit", "1", "--model", fixed, *options)
    assert outcome.code == code, outcome.err
    assert said in outcome.err and (not code or f"{fixed}: takes" in outcome.err)


@pytest.fixture(scope="module")
def fixed(tmp_path_factory):
    """A shipped network that takes 640x640 only."""
    model = onnx.load(find_model("nano_b"))
    for dim, side in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], (640, 640), strict=True):
        dim.dim_value = side
    file = tmp_path_factory.mktemp("fixed") / "fixed.onnx"
    onnx.save(model, file)
    return file


def test_prediction_files_of_no_picture_are_counted(run, wider, predicted):
    (predicted / "notes.txt").write_text("about these")
    (predicted / "0--Parade" / "unknown.txt").write_text(FILE)
    outcome = run("evaluate", "--data", wider, "--predictions", predicted)
    assert outcome.code == 0 and "2 text files of no picture of this set" in outcome.err
    assert "notes.txt" in outcome.err and "unknown.txt" in outcome.err


def test_predictions_are_not_mixed_with_older_ones(run, wider, predicted, tmp_path):
    saved = tmp_path / "saved"
    for _ in range(2):
        outcome = run("evaluate", "--data", wider, "--predictions", predicted, "--save-predictions", saved)
        assert outcome.code == 0, "its own files are written anew"
    outcome = run("evaluate", "--data", wider, "--limit", 1, "--save-predictions", saved)
    assert outcome.code == 1 and "holds 1 text files that this run would not write" in outcome.err


def test_a_part_without_faces_has_no_ap(run, wider, predicted, tmp_path):
    target = tmp_path / "r.json"
    for subset in ("easy", "medium"):
        break_mat(wider, f"wider_{subset}_val.mat", {"gt_list": cells(*[cells(np.zeros((0, 1)))] * 2)})
    outcome = run("evaluate", "--data", wider, "--predictions", predicted, "--json", target)
    assert "AP  Easy -  Medium -  Hard 100.00" in outcome.out, outcome.err
    assert "0 to 16 px   AP     -       0 faces" in outcome.out
    result = json.loads(target.read_text())
    assert result["ap"] == {"easy": None, "medium": None, "hard": 1}
    assert result["by_height"]["0 to 16 px"] == {"faces": 0, "ap": None}


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
