"""`featherface detect` writes over nothing that it reads, and loses nothing of what it writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import cv2
import pytest

PORTRAIT = "eileen_collins.jpg"


@pytest.fixture
def photos(examples, tmp_path, monkeypatch):
    """A folder to stand in: a photo, and the same as PNG under the name of a crop."""
    shutil.copy(examples / PORTRAIT, tmp_path / "a.jpg")
    picture = cv2.imread(str(tmp_path / "a.jpg"))
    assert picture is not None
    cv2.imwrite(str(tmp_path / "a-1.png"), picture)
    monkeypatch.chdir(tmp_path)
    return tmp_path


OVERWRITING = [
    pytest.param(["a.jpg", "--save", "."], "a.jpg is an input", id="its drawn copy over the photo"),
    pytest.param(["a.jpg", "a-1.png", "--crops", "."], "a-1.png is an input", id="a crop over a photo"),
    pytest.param(["a.jpg", "--json", "a.jpg"], "--json a.jpg: is an input", id="JSON over the photo"),
    pytest.param(["a.jpg", "--csv", "./a.jpg"], "is an input", id="the same by another path"),
    pytest.param(["a.jpg", "--json", "b", "--coco", "b"], "--json names the same file", id="two into one"),
    pytest.param(["a.jpg", "--csv", "."], "is a folder", id="a folder for a file"),
    pytest.param(["a.jpg", "--save", "a-1.png"], "a-1.png: a file, not a folder", id="a file for a folder"),
]


@pytest.mark.parametrize(("arguments", "reason"), OVERWRITING)
def test_no_result_goes_over_an_input_or_another_result(run, photos, arguments, reason):
    before = {path: path.read_bytes() for path in photos.iterdir()}
    outcome = run("detect", *arguments)
    assert outcome.code == 1 and reason in outcome.err
    assert {path: path.read_bytes() for path in photos.iterdir()} == before


def test_pictures_that_differ_in_their_ending_only_keep_their_crops(run, photos):
    (photos / "a-1.png").rename(photos / "A.png")
    assert run("detect", "a.jpg", "A.png", "--crops", "crops").code == 0
    assert sorted(path.name for path in (photos / "crops").iterdir()) == ["A-2-1.png", "a-1.png"]


def test_what_can_be_written_is_written(run, photos, monkeypatch):
    def full(target, results):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("featherface.cli.outputs.write_json", full)
    outcome = run("detect", "a.jpg", "--json", "faces.json", "--csv", "faces.csv")
    assert outcome.code == 1 and "faces.json: cannot be written (no space left on device)" in outcome.err
    assert (photos / "faces.csv").read_text().startswith("path,")


@pytest.mark.parametrize("kind", ["json", "csv", "coco"])
def test_each_format_goes_to_standard_output_too(run, photos, kind):
    outcome = run("detect", "a.jpg", f"--{kind}", "-")
    assert outcome.code == 0 and outcome.out.startswith("path," if kind == "csv" else "{")
    assert not (photos / "-").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes only there")
def test_a_name_that_is_no_utf8_is_written_with_escapes(photos):
    """Also to a console that knows few letters."""
    odd = os.fsencode(photos) + b"/caf\xe9.jpg"
    shutil.copy(photos / "a.jpg", odd)
    command = [sys.executable, "-c", "from featherface.cli import main; main()", "detect", odd]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    for target in ("faces.json", "-"):
        done = subprocess.run([*command, "--json", target], capture_output=True, env=environment, check=True)
        text = done.stdout if target == "-" else (photos / target).read_bytes()
        (image,) = json.loads(text)["images"]
        assert os.fsencode(image["path"]) == odd and len(image["faces"]) == 1
    table = subprocess.run(command, capture_output=True, env=environment, check=True).stdout
    assert b"caf\\udce9.jpg" in table


def test_an_error_names_the_picture(run, photos):
    outcome = run("detect", "a.jpg", "--long-side", "40000")
    assert outcome.code == 1 and "featherface: a.jpg: a picture of 512x512 enlarged" in outcome.err


@pytest.mark.parametrize("name", ["x" * 300, "nothing*" + "x" * 300], ids=["a name", "a glob"])
def test_a_name_too_long_to_look_at_is_one_line(run, photos, name):
    outcome = run("detect", name)
    assert outcome.code == 1 and "Traceback" not in outcome.err and "xxx" in outcome.err
