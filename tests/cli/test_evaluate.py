"""`featherface evaluate` from end to end, on a WIDER FACE folder of two pictures."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
from scipy.io import savemat
from wider_folder import EVENTS, FILE, break_mat, cells

from featherface.zoo import find_model


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


def test_other_predictions_are_what_it_is_compared_with(run, wider, predicted, tmp_path):
    event, name = next(iter(EVENTS.items()))
    worse, result = tmp_path / "worse", tmp_path / "r.json"
    shutil.copytree(predicted, worse)
    (worse / event / f"{name}.txt").write_text(f"{name}\n0\n")
    options = ("--predictions", predicted, "--against", worse, "--json", result)
    outcome = run("evaluate", "--data", wider, *options)
    assert outcome.code == 0, outcome.err
    assert f"beside predictions of {worse}" in outcome.out
    assert "AP less the other's" in outcome.out and "Easy +50.0 (+0.0 to +100.0)" in outcome.out
    said = json.loads(result.read_text())
    assert said["other_predictions"] == str(worse)
    assert said["against"]["hard"] == {"value": 0.5, "low": 0, "high": 1}


def test_other_predictions_that_are_not_there_are_refused_before_the_work(run, wider, tmp_path):
    outcome = run("evaluate", "--data", wider, "--against", tmp_path / "none")
    assert outcome.code == 1 and "none: no such folder of predictions" in outcome.err


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
