"""`featherface detect` from end to end: what it writes, what it says, and how it fails."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from featherface.zoo import WEIGHTS

PORTRAIT = "eileen_collins.jpg"
LEFT, TOP, RIGHT, BOTTOM = 180, 60, 272, 178
"""Its one face, read off the picture."""


def faces_of(text):
    return [image["faces"] for image in json.loads(text)["images"]]


def is_the_face(box):
    return np.abs(np.array(box) - [LEFT, TOP, RIGHT, BOTTOM]).max() < 15


def picture(mode="RGB", form="PNG", size=(64, 48), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, (90, 120, 60)).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def test_the_table_names_picture_score_and_box(run, examples):
    outcome = run("detect", examples / PORTRAIT)
    assert outcome.code == 0 and outcome.err == ""
    header, row, total = outcome.out.strip().splitlines()
    assert header.split()[:3] == ["picture", "face", "score"]
    assert row.startswith(str(examples / PORTRAIT)) and is_the_face([float(v) for v in row.split()[-4:]])
    assert total == "1 face in 1 picture"


def test_json_on_standard_output_is_nothing_but_json(run, examples):
    outcome = run("detect", examples / PORTRAIT, "--json", "-")
    (image,) = json.loads(outcome.out)["images"]
    assert set(image) == {"path", "width", "height", "faces", "error"}
    assert (image["width"], image["height"], image["error"]) == (512, 512, None)
    (face,) = image["faces"]
    assert set(face) == {"box", "score", "landmarks"}
    assert is_the_face(face["box"]) and 0.5 <= face["score"] <= 1
    assert np.array(face["landmarks"]).shape == (5, 2)


def test_csv_and_coco_say_what_json_says(run, examples, tmp_path):
    targets = {kind: tmp_path / f"faces.{kind}" for kind in ("json", "csv", "coco")}
    options = [part for kind, path in targets.items() for part in (f"--{kind}", path)]
    assert run("detect", examples / "contact_sheet.jpg", "--quiet", *options).code == 0
    (faces,) = faces_of(targets["json"].read_text())
    rows = list(csv.DictReader(io.StringIO(targets["csv"].read_text())))
    assert [float(row["score"]) for row in rows] == [face["score"] for face in faces]
    assert [float(rows[0][key]) for key in ("nose_x", "nose_y")] == faces[0]["landmarks"][2]
    coco = json.loads(targets["coco"].read_text())
    assert [a["score"] for a in coco["annotations"]] == [face["score"] for face in faces]
    x, y, width, height = coco["annotations"][0]["bbox"]
    assert np.allclose([x, y, x + width, y + height], faces[0]["box"], atol=0.02)
    assert coco["categories"][0]["name"] == "face" and len(coco["images"]) == 1


def test_inputs_are_files_folders_globs_and_standard_input(run, examples, tmp_path):
    deep = tmp_path / "holiday" / "day one"
    deep.mkdir(parents=True)
    shutil.copy(examples / PORTRAIT, deep / "häppy face.JPG")
    (deep / "notes.txt").write_text("not a picture, and a folder's other files are no inputs")
    data = (examples / PORTRAIT).read_bytes()
    outcome = run(
        "detect",
        tmp_path / "holiday",
        f"{examples}/eileen*.jpg",
        "-",
        examples / PORTRAIT,
        "--json",
        "-",
        stdin=data,
    )
    images = json.loads(outcome.out)["images"]
    assert [image["path"] for image in images] == [
        str(deep / "häppy face.JPG"),
        str(examples / PORTRAIT),
        "-",
        str(examples / PORTRAIT),
    ]
    assert all(is_the_face(image["faces"][0]["box"]) for image in images)


def test_drawn_pictures_and_crops_of_same_named_inputs_do_not_meet(run, examples, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(examples / PORTRAIT, tmp_path / folder / "face.jpg")
    outcome = run(
        "detect", tmp_path / "a" / "face.jpg", tmp_path / "b" / "face.jpg",
        "--save", tmp_path / "drawn", "--crops", tmp_path / "cut",
    )  # fmt: skip
    assert outcome.code == 0
    assert sorted(p.name for p in (tmp_path / "drawn").iterdir()) == ["face-2.jpg", "face.jpg"]
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == ["face-1.png", "face-2-1.png"]
    drawn, plain = cv2.imread(str(tmp_path / "drawn" / "face.jpg")), cv2.imread(str(examples / PORTRAIT))
    assert drawn.shape == plain.shape
    assert np.abs(drawn.astype(int) - plain)[:40].mean() < 4, "far from the face nothing is drawn"
    assert np.abs(drawn.astype(int) - plain)[TOP:BOTTOM, LEFT - 8 : LEFT + 8].mean() > 8, "the box is"
    assert cv2.imread(str(tmp_path / "cut" / "face-1.png")).shape == (112, 112, 3)


def test_a_folder_keeps_its_shape_in_the_output(run, examples, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    shutil.copy(examples / PORTRAIT, tmp_path / "in" / "deep" / "face.jpg")
    run("detect", tmp_path / "in", "--save", tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "face.jpg").is_file()


@pytest.mark.parametrize(
    ("options", "check", "reason"),
    [
        pytest.param(["--score-threshold", "0.02"], lambda s: min(s) < 0.3, "low scores come out", id="low"),
        pytest.param(["--score-threshold", "0.98"], lambda s: 0 < len(s) < 22 and min(s) >= 0.98, "only", id="high"),
        pytest.param(["--max-detections", "3"], lambda s: len(s) == 3, "the three best", id="three"),
        pytest.param(["--iou-threshold", "1", "--score-threshold", "0.3"], lambda s: len(s) > 22, "no NMS", id="iou"),
        pytest.param(["--scales", "1,2"], lambda s: len(s) >= 22, "two sizes merged", id="scales"),
        pytest.param(["--flip"], lambda s: len(s) >= 22, "mirrored pass merged", id="flip"),
        pytest.param(["--tile", "512"], lambda s: len(s) == 22, "none lost or doubled at the seams", id="tile"),
        pytest.param(["--long-side", "300"], lambda s: 0 < len(s) < 22, "the smallest are gone", id="long side"),
        pytest.param(["--threads", "1"], lambda s: len(s) == 22, "the same on one thread", id="one thread"),
    ],
)  # fmt: skip
def test_options_do_what_they_say(run, examples, options, check, reason):
    outcome = run("detect", examples / "contact_sheet.jpg", "--json", "-", *options)
    assert outcome.code == 0, outcome.err
    (faces,) = faces_of(outcome.out)
    assert check([face["score"] for face in faces]), (reason, len(faces))


def test_quiet_says_nothing(run, examples):
    outcome = run("detect", examples / PORTRAIT, "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


READABLE = [
    pytest.param(picture("L"), id="grey"),
    pytest.param(picture("P"), id="palette"),
    pytest.param(picture("I;16"), id="16 bit"),
    pytest.param(picture("CMYK", "JPEG"), id="CMYK"),
    pytest.param(picture("RGBA"), id="RGBA"),
    pytest.param(picture(size=(1, 1)), id="one pixel"),
    pytest.param(
        picture(form="GIF", save_all=True, append_images=[Image.new("RGB", (64, 48))]), id="animated"
    ),
]


@pytest.mark.parametrize("data", READABLE)
def test_unusual_pictures_are_read(run, tmp_path, data):
    (tmp_path / "odd.png").write_bytes(data)
    outcome = run("detect", tmp_path / "odd.png", "--json", "-")
    assert outcome.code == 0, outcome.err
    assert faces_of(outcome.out) == [[]]


def test_a_turned_photo_gives_boxes_in_the_turned_picture(run, examples, tmp_path):
    turned = Image.open(examples / PORTRAIT).rotate(90, expand=True).crop((0, 100, 512, 512))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me 90 degrees clockwise"
    turned.save(tmp_path / "phone.jpg", exif=exif, quality=95)
    outcome = run("detect", tmp_path / "phone.jpg", "--json", "-")
    (image,) = json.loads(outcome.out)["images"]
    assert (image["width"], image["height"]) == (412, 512)
    (face,) = image["faces"]
    assert abs(face["box"][1] - TOP) < 15 and abs(face["box"][3] - BOTTOM) < 15


def truncated(examples):
    return (examples / PORTRAIT).read_bytes()[:20_000]


def bomb(_):
    """The header of a PNG of 40,000 x 40,000 pixels."""
    head = picture(size=(8, 8))
    return head[:16] + (40_000).to_bytes(4, "big") * 2 + head[24:]


BROKEN = [
    pytest.param(lambda _: b"", "empty", id="zero bytes"),
    pytest.param(truncated, "truncated", id="a JPEG that ends early"),
    pytest.param(lambda _: b"dear diary, " * 50, "not a picture", id="text named .jpg"),
    pytest.param(bomb, "pixels", id="a decompression bomb"),
]


@pytest.mark.parametrize(("make", "reason"), BROKEN)
def test_a_broken_picture_is_named_and_the_others_are_found(run, examples, tmp_path, make, reason):
    bad = tmp_path / "böse datei.jpg"
    bad.write_bytes(make(examples))
    outcome = run("detect", bad, examples / PORTRAIT, "--json", "-", "--save", tmp_path / "out")
    assert outcome.code == 1
    (line,) = outcome.err.strip().splitlines()
    assert str(bad) in line and reason in line
    broken, good = json.loads(outcome.out)["images"]
    assert broken["path"] == str(bad) and reason in broken["error"] and broken["faces"] == []
    assert good["error"] is None and is_the_face(good["faces"][0]["box"])
    assert [p.name for p in (tmp_path / "out").iterdir()] == [PORTRAIT]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("gone.jpg", "no such file", id="missing"),
        pytest.param("empty", "without pictures", id="a folder without pictures"),
        pytest.param("*.webp", "matches no file", id="a glob that matches nothing"),
    ],
)
def test_inputs_that_are_not_there_are_named(run, tmp_path, name, reason):
    (tmp_path / "empty").mkdir()
    outcome = run("detect", tmp_path / name)
    assert outcome.code == 1
    assert f"{tmp_path / name}" in outcome.err and reason in outcome.err and "Traceback" not in outcome.err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission_is_named(run, examples, tmp_path):
    shutil.copy(examples / PORTRAIT, tmp_path / "secret.jpg")
    (tmp_path / "secret.jpg").chmod(0)
    outcome = run("detect", tmp_path / "secret.jpg")
    assert outcome.code == 1 and "secret.jpg" in outcome.err and "permission" in outcome.err.lower()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(["--score-threshold", "1.5"], "score_threshold", id="score over 1"),
        pytest.param(["--score-threshold", "-0.1"], "score_threshold", id="score under 0"),
        pytest.param(["--iou-threshold", "2"], "iou_threshold", id="iou over 1"),
        pytest.param(["--max-detections", "0"], "max_detections", id="no detections"),
        pytest.param(["--scales", "1,two"], "--scales", id="scales that are no numbers"),
        pytest.param(["--scales", "0"], "scales", id="scale zero"),
        pytest.param(["--long-side", "0"], "long_side", id="long side zero"),
        pytest.param(["--tile", "5"], "tile", id="tile too small"),
        pytest.param(["--threads", "-2"], "threads", id="threads below zero"),
        pytest.param(["--model", "v9"], "v9", id="no such model"),
    ],
)
def test_bad_settings_stop_before_anything_is_read(run, examples, tmp_path, options, reason):
    outcome = run("detect", examples / PORTRAIT, "--json", tmp_path / "out.json", *options)
    assert outcome.code != 0
    assert reason in outcome.err and "Traceback" not in outcome.err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "corrupt", id="empty"),
        pytest.param(b"not a model", "corrupt", id="text"),
        pytest.param("half", "corrupt", id="truncated"),
    ],
)
def test_a_bad_model_file_is_named(run, examples, tmp_path, content, reason):
    model = tmp_path / "my model.onnx"
    whole = (WEIGHTS / "v2.onnx").read_bytes()
    model.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    outcome = run("detect", examples / PORTRAIT, "--model", model)
    assert outcome.code == 1
    (line,) = outcome.err.strip().splitlines()
    assert str(model) in line


def test_outputs_that_cannot_be_written_are_named_and_leave_nothing_behind(run, examples, tmp_path):
    (tmp_path / "wall").write_text("a file where a folder is wanted")
    outcome = run(
        "detect", examples / PORTRAIT, "--save", tmp_path / "wall", "--json", tmp_path / "wall" / "o.json"
    )
    assert outcome.code == 1 and "wall" in outcome.err and "Traceback" not in outcome.err
    assert [p.name for p in tmp_path.iterdir()] == ["wall"]


def test_progress_is_shown_for_more_than_a_few_inputs(run, examples):
    outcome = run("detect", *[examples / PORTRAIT] * 5)
    assert "detecting" in outcome.err
    assert run("detect", *[examples / PORTRAIT] * 2).err == ""
