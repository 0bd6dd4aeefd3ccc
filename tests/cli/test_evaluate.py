"""`featherface evaluate` from end to end, on a WIDER FACE folder of two pictures and on labels of each format."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from featherface.annotations import read_annotations, write_annotations

EVENTS = {"0--Parade": "march", "1--Handshaking": "greeting"}
FACE = (180, 60, 92, 118)
FILE = "march\n1\n180 60 92 118 0.9\n"
POINTS = "204 100 0 247 102 0 224 127 0 202 138 0 246 139 0"


def cells(*values):
    """A MATLAB cell array, as a column."""
    column = np.empty((len(values), 1), object)
    for i, value in enumerate(values):
        column[i, 0] = value
    return column


@pytest.fixture
def wider(examples, tmp_path):
    """Two events of one portrait each, in WIDER FACE's layout with its four .mat files."""
    root = tmp_path / "wider"
    for event, name in EVENTS.items():
        (root / "val" / "images" / event).mkdir(parents=True)
        shutil.copy(examples / "eileen_collins.jpg", root / "val" / "images" / event / f"{name}.jpg")
    (root / "ground_truth").mkdir()
    faces = cells(*(cells(np.array([FACE], float)) for _ in EVENTS))
    content = {
        "event_list": cells(*EVENTS),
        "file_list": cells(*map(cells, EVENTS.values())),
        "face_bbx_list": faces,
    }
    savemat(root / "ground_truth" / "wider_face_val.mat", content)
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
    assert "2 pictures of WIDER FACE val: 2 pictures, faces 2 / 2 / 2" in outcome.out
    assert "AP  Easy 100.00  Medium 100.00  Hard 100.00" in outcome.out
    assert "original: original size, one scale, score over 0.02, NMS 0.4, at most 750" in outcome.out
    assert run("evaluate", "--data", wider, "--predictions", saved, "--json", second).code == 0
    of_model, of_files = json.loads(first.read_text()), json.loads(second.read_text())
    assert of_model["ap"] == of_files["ap"] == {"easy": 1, "medium": 1, "hard": 1}
    assert of_model["faces"] == {"easy": 2, "medium": 2, "hard": 2} and of_model["images"] == 2
    assert (of_model["protocol"], of_files["protocol"]) == ("original", "predictions")


@pytest.mark.parametrize(
    ("options", "said", "settings"),
    [
        pytest.param(["--protocol", "vga"], "vga: long side 640", {"long_side": 640}, id="vga"),
        pytest.param(
            ["--protocol", "multiscale"], "scales 0.5, 1, 1.5, 2, flip", {"flip": True}, id="multiscale"
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
    assert "2 pictures of WIDER FACE val" in page and "<svg" in page and "0--Parade" in page


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
    assert outcome.code == 0 and "1 pictures of WIDER FACE val" in outcome.out, outcome.err


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
        pytest.param(["--split", "test"], "test/images: no such folder", id="unknown split"),
        pytest.param(["--predictions", "nowhere"], "nowhere: no such folder", id="no predictions"),
        pytest.param(["--protocol", "best"], "'best'", id="unknown protocol"),
        pytest.param(["--protocol", "vga", "--long-side", "320"], "leave --protocol out", id="two protocols"),
        pytest.param(["--curves", "nowhere"], "nowhere", id="no curves"),
        pytest.param(["--format", "csv"], "'csv'", id="unknown format"),
        pytest.param(["--model", "none.onnx"], "none.onnx", id="no model"),
        pytest.param(["--report", __file__], "test_evaluate.py: a file", id="report onto a file"),
        pytest.param(["--json", "."], ".: a folder", id="JSON onto a folder"),
    ],
)
def test_wrong_options_are_named(run, wider, arguments, reason):
    outcome = run("evaluate", "--data", wider, *arguments)
    assert outcome.code == 1 and reason in outcome.err and "Traceback" not in outcome.err


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


@pytest.fixture
def labelled(examples, tmp_path):
    """Two portraits in RetinaFace's layout, one of them with landmarks."""
    root = tmp_path / "own"
    for folder in ("day", "night"):
        (root / "images" / folder).mkdir(parents=True)
        shutil.copy(examples / "eileen_collins.jpg", root / "images" / folder / "a.jpg")
    box = " ".join(map(str, FACE))
    unknown = " ".join(["-1"] * 15)
    (root / "label.txt").write_text(f"# day/a.jpg\n{box} {POINTS}\n# night/a.jpg\n{box} {unknown}\n")
    return root


@pytest.mark.parametrize("format", ["retinaface", "coco", "yolo", "voc", "wider"])
def test_labels_of_every_format(run, labelled, tmp_path, format):
    source = labelled / "label.txt"
    if format != "retinaface":
        target = labelled / {"coco": "faces.json", "wider": "faces_bbx_gt.txt"}.get(format, "")
        write_annotations(read_annotations(source), target, format)
        source.unlink()
        source = target
    outcome = run("evaluate", "--data", source, "--json", tmp_path / "r.json", "--report", tmp_path / "page")
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["images"] == 2 and result["faces"] == {"all": 2}
    assert result["ap"]["all"] == pytest.approx(1) and result["coco"]["ap50"] == pytest.approx(1)
    assert 0.3 < result["coco"]["ap"] <= 1 and result["coco"]["small"] is None
    landmarks = result["landmarks"]
    if format == "wider":  # which has no landmarks
        assert landmarks["labelled"] == 0 and landmarks["mean"] is None
    else:
        assert landmarks["labelled"] == landmarks["found"] == 1 and 0 < landmarks["mean"] < 0.08
        assert "landmarks off by" in outcome.out
    assert "COCO AP" in (tmp_path / "page" / "index.html").read_text()


def test_predictions_for_own_labels(run, labelled, tmp_path):
    saved = tmp_path / "saved"
    run("evaluate", "--data", labelled, "--save-predictions", saved)
    assert sorted(p.relative_to(saved).as_posix() for p in saved.rglob("*.txt")) == [
        "day/a.txt",
        "night/a.txt",
    ]
    (saved / "night" / "a.txt").unlink()
    outcome = run("evaluate", "--data", labelled, "--predictions", saved)
    assert outcome.code == 0 and "AP  All 50.00" in outcome.out
    assert "no predictions for night/a" in outcome.err and "landmarks" not in outcome.out


def test_ignored_faces_count_neither_way(run, labelled, tmp_path):
    box, unknown = " ".join(map(str, FACE)), " ".join(["-1"] * 15)
    (labelled / "label.txt").write_text(
        f"# day/a.jpg\n{box} {unknown}\n# night/a.jpg\n{box} {unknown} -1 1\n"
    )
    for folder, score in (("day", 0.5), ("night", 0.9)):
        (tmp_path / "saved" / folder).mkdir(parents=True)
        (tmp_path / "saved" / folder / "a.txt").write_text(f"a\n1\n{box} {score}\n")
    outcome = run("evaluate", "--data", labelled, "--predictions", tmp_path / "saved")
    assert outcome.code == 0 and "faces 1" in outcome.out, outcome.err
    assert "AP50 100.00" in outcome.out and "All 100.00" in outcome.out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("# day/gone.jpg\n1 2 3 4\n", "gone.jpg is labelled but not there", id="missing picture"),
        pytest.param("# day/a.jpg\n1 2 nan 4\n", "label.txt:2", id="NaN"),
        pytest.param("# day/a.jpg\n1 2 -3 4\n", "label.txt:2", id="negative size"),
        pytest.param("# day/a.jpg\n1 2 3\n", "label.txt:2", id="too few numbers"),
        pytest.param("", "labels no pictures", id="empty file"),
        pytest.param("# day/a.jpg\n", "no face that counts in 1 pictures", id="no faces"),
        pytest.param(
            "# day/a.jpg\n1 2 30 40\n# day/a.jpg\n", "are one picture to the evaluation", id="twice"
        ),
    ],
)
def test_bad_labels_are_named(run, labelled, text, reason):
    (labelled / "label.txt").write_text(text)
    outcome = run("evaluate", "--data", labelled)
    assert outcome.code == 1 and reason in outcome.err and "Traceback" not in outcome.err


@pytest.mark.shared
def test_the_training_pictures_have_labelled_landmarks(run, shared, tmp_path):
    outcome = run(
        "evaluate", "--data", shared / "data/widerface", "--split", "train", "--limit", "4", "--long-side", "640",
        "--json", tmp_path / "r.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["image_set"].endswith("train/label.txt") and result["images"] == 4
    assert result["coco"]["ap50"] > 0
