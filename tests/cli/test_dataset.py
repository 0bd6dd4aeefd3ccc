"""`featherface dataset` and `featherface pseudo-label` from end to end."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest

from featherface.annotations import read_annotations

BOX = "180 60 92 118"
UNKNOWN = " ".join(["-1"] * 15)


@pytest.fixture
def labelled(examples, tmp_path):
    """One portrait with its face, in RetinaFace's layout."""
    (tmp_path / "images").mkdir()
    shutil.copy(examples / "eileen_collins.jpg", tmp_path / "images" / "a.jpg")
    (tmp_path / "label.txt").write_text(f"# a.jpg\n{BOX} {UNKNOWN}\n")
    return tmp_path


def test_check_counts(run, labelled):
    outcome = run("dataset", "check", labelled, "--plot", labelled / "sizes.png")
    assert outcome.code == 0, outcome.err
    assert "pictures                1" in outcome.out and "median size 104 px" in outcome.out
    assert "64-128 px           1   100.0%" in outcome.out
    assert cv2.imread(str(labelled / "sizes.png")) is not None


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param("# gone.jpg\n" + f"{BOX} {UNKNOWN}\n", "gone.jpg", id="missing picture"),
        pytest.param("# empty.jpg\n" + f"{BOX} {UNKNOWN}\n", "empty.jpg: empty", id="broken picture"),
        pytest.param(
            f"# b.jpg\n480 60 92 118 {UNKNOWN}\n", "reach outside: [480.0, 60.0, 572.0, 178.0]", id="outside"
        ),
        pytest.param("# b.jpg\n1 2 3\n", "label.txt:4", id="a line that is no face"),
        pytest.param(f"# a.jpg\n{BOX} {UNKNOWN}\n", "labelled 2 times", id="twice"),
    ],
)
def test_check_names_what_is_wrong_and_counts_the_rest(run, labelled, lines, reason):
    (labelled / "images" / "empty.jpg").touch()
    shutil.copy(labelled / "images" / "a.jpg", labelled / "images" / "b.jpg")
    with (labelled / "label.txt").open("a") as file:
        file.write(lines)
    outcome = run("dataset", "check", labelled)
    assert outcome.code == 1
    assert reason in outcome.err and "1 problems" in outcome.err
    assert "faces" in outcome.out


def test_show_draws_the_boxes(run, labelled):
    assert run("dataset", "show", labelled, "--save", labelled / "sheet.png", "--count", "1").code == 0
    drawn = cv2.imread(str(labelled / "sheet.png"))
    assert drawn.shape == (384, 384, 3)
    blue, green, red = np.moveaxis(drawn.astype(int), 2, 0)
    green = green - np.maximum(blue, red) > 60
    x1, y1, x2, y2 = (round(v * 384 / 512) for v in (180, 60, 272, 178))
    assert green[y1, x1:x2].mean() > 0.8 and green[y1:y2, x1].mean() > 0.8
    assert green.sum() < 1000


def test_show_draws_a_recipes_crops(run, labelled):
    recipe = labelled / "r.toml"
    recipe.write_text(
        f"[data]\ncrop_size = 128\ncache_dir = '{labelled}/cache'\nsources = [{{ labels = '{labelled}/label.txt' }}]\n"
    )
    outcome = run("dataset", "show", recipe, "--save", labelled / "crops.png", "--count", "8")
    assert outcome.code == 0, outcome.err
    assert cv2.imread(str(labelled / "crops.png")).shape == (768, 1536, 3)


@pytest.mark.parametrize("format", ["coco", "wider"])
def test_convert_keeps_the_faces(run, labelled, format):
    target = labelled / ("out.json" if format == "coco" else "out.txt")
    outcome = run("dataset", "convert", labelled / "label.txt", "--to", format, "--output", target)
    assert outcome.code == 0 and "1 faces in 1 pictures" in outcome.out, outcome.err
    (found,) = read_annotations(target, format)
    assert np.allclose(found.boxes, [[180, 60, 272, 178]])


def test_pseudo_labels_are_the_teachers_sure_faces(run, labelled):
    target = labelled / "new.txt"
    outcome = run("pseudo-label", labelled / "images", "--output", target, "--scales", "1")
    assert outcome.code == 0, outcome.err
    (found,) = read_annotations(target)
    sure = ~found.ignored
    assert sure.sum() == 1 and found.with_landmarks[sure].all()
    assert np.abs(found.boxes[sure] - [180, 60, 272, 178]).max() < 15


def test_the_doubtful_are_ignored_and_existing_labels_win(run, labelled, examples):
    shutil.copy(examples / "contact_sheet.jpg", labelled / "images" / "sheet.jpg")
    target = labelled / "new.txt"
    run(
        "pseudo-label", labelled / "images", "--output", target, "--labels", labelled / "label.txt",
        "--sure", "0.97", "--doubtful", "0.3", "--scales", "1",
    )  # fmt: skip
    found = {a.path.name: a for a in read_annotations(target)}
    own = found["a.jpg"]
    assert np.allclose(own.boxes[0], [180, 60, 272, 178]) and not own.with_landmarks[0]
    assert (~own.ignored).sum() == 1, "the teacher's box on the same face was dropped"
    assert found["sheet.jpg"].ignored.any() and (~found["sheet.jpg"].ignored).any()


def test_pseudo_label_goes_on_past_a_broken_picture(run, labelled):
    (labelled / "images" / "b.jpg").write_bytes(b"no picture")
    outcome = run("pseudo-label", labelled / "images", "--output", labelled / "new.txt", "--scales", "1")
    assert outcome.code == 1 and "b.jpg" in outcome.err
    assert len(read_annotations(labelled / "new.txt")) == 1


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_pictures_that_would_share_a_label_file_are_refused_before_the_teacher_looks(run, labelled, format):
    shutil.copy(labelled / "images" / "a.jpg", labelled / "images" / "a.jpeg")
    outcome = run(
        "pseudo-label", labelled / "images", "--to", format, "--output", labelled / "set", "--scales", "1"
    )
    assert outcome.code == 1 and "a.jpg: would share a label file with" in outcome.err
    assert "labelling" not in outcome.err and not (labelled / "set").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(["--sure", "0.2", "--doubtful", "0.6"], "--doubtful", id="thresholds upside down"),
        pytest.param(["--to", "nonsense"], "unknown label format 'nonsense'", id="unknown format"),
        pytest.param(["--to", "yolo"], "are a folder", id="a file where a folder goes"),
        pytest.param(
            ["--output", "{folder}/label.txt/new.txt"],
            "label.txt is a file",
            id="below a file, at the end too late",
        ),
        pytest.param(
            ["--to", "voc", "--output", "{folder}/label.txt/new"], "label.txt is a file", id="a folder there"
        ),
    ],
)
def test_what_cannot_be_labelled_is_refused_before_the_teacher_looks(run, labelled, options, reason):
    options = [option.format(folder=labelled) for option in options]
    outcome = run("pseudo-label", labelled / "images", "--output", labelled / "label.txt", *options)
    assert outcome.code == 1 and reason in outcome.err
    assert "labelling" not in outcome.err


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        pytest.param(["show", "{labels}", "--save", "{labels}/x.png"], "label.txt is a file", id="no such place"),
        pytest.param(["show", "{labels}", "--save", "{folder}"], "a folder, not a file", id="a sheet into a folder"),
        pytest.param(["show", "{labels}", "--save", "a.png", "--seed", "-1"], "--seed", id="a negative seed"),
        pytest.param(["check", "{labels}", "--plot", "{folder}"], "a folder, not a file", id="a plot into a folder"),
    ],
)  # fmt: skip
def test_a_picture_that_cannot_be_written_is_one_line(run, labelled, command, reason):
    outcome = run("dataset", *(p.format(labels=labelled / "label.txt", folder=labelled) for p in command))
    assert outcome.code != 0 and reason in outcome.err and "Traceback" not in outcome.err
