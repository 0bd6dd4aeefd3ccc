"""`featherface evaluate` from end to end on labels of your own, in each format."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from featherface.annotations import read_annotations, write_annotations

FACE = (180, 60, 92, 118)
POINTS = "204 100 0 247 102 0 224 127 0 202 138 0 246 139 0"


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


@pytest.mark.parametrize("format", ["yolo", "retinaface"])
def test_a_split_with_labels_of_its_own(run, labelled, tmp_path, format):
    """As YOLO's trees are: root/val/images and root/val/labels."""
    split = tmp_path / "tree" / "val"
    shutil.move(labelled, split)
    if format == "yolo":
        write_annotations(read_annotations(split / "label.txt"), split, "yolo")
        (split / "label.txt").unlink()
    outcome = run("evaluate", "--data", tmp_path / "tree", "--long-side", "320")
    assert outcome.code == 0 and "faces 2" in outcome.out, outcome.err


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


@pytest.mark.long
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


def test_curves_of_other_subsets_are_an_error(run, labelled, tmp_path):
    points = np.column_stack([np.ones(9), np.linspace(0, 1, 9)])
    savemat(tmp_path / "wider_pr_info_Other_hard_val.mat", {"pr_cruve": points})
    options = ("--curves", tmp_path, "--report", tmp_path / "page")
    outcome = run("evaluate", "--data", labelled, *options)
    assert outcome.code == 1 and "curves of hard; these pictures have all" in outcome.err
