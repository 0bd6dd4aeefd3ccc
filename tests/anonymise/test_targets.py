"""Where results go: never over an original, never two into one file. Photos and, beside them, videos by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from featherface.cli.app import build_app
from featherface.cli.inputs import expand
from featherface.cli.media import VIDEO_SUFFIXES, targets
from featherface.cli.targets import refuse_overwriting
from featherface.errors import ConfigError
from featherface.images import IMAGE_SUFFIXES


def run(*arguments):
    return CliRunner().invoke(build_app(), ["anonymise", *map(str, arguments)])


def contents(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.md5(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize(
    ("names", "expected", "why"),
    [
        (["a/p.jpg", "b/p.jpg"], ["p.jpg", "p-2.jpg"], "two of one name"),
        (["a.gif", "a.gif.png"], ["a.gif.png", "a.gif-2.png"], "a GIF becomes a PNG, whose name is taken"),
        (["a.gif.png", "a.gif"], ["a.gif.png", "a.gif-2.png"], "whichever comes first"),
        (["x.wmv", "x.wmv.mp4"], ["x.wmv.mp4", "x.wmv-2.mp4"], "the same with videos"),
        (["x.avi"], ["x.avi.mp4"], "AVI cannot hold what a video is to keep"),
        (["a/P.jpg", "b/p.jpg"], ["P.jpg", "p-2.jpg"], "one file where the disk does not tell case"),
        (
            ["a/p.jpg", "b/p.jpg", "p-2.jpg"],
            ["p.jpg", "p-2.jpg", "p-2-2.jpg"],
            "a number that is a name already",
        ),
    ],
)
def test_each_input_has_a_file_of_its_own(names, expected, why, tmp_path):
    if any(Path(name).suffix in VIDEO_SUFFIXES for name in names):
        pytest.importorskip("av", reason="the video extra is not installed")
    found = expand([str(tmp_path / name) for name in names], IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    assert targets(Path("out"), found) == [Path("out") / name for name in expected], why


def test_two_photos_become_two(portrait, tmp_path):
    for name in ("a.gif", "a.gif.png"):
        Image.fromarray(portrait).resize((64, 64)).save(tmp_path / name)
    assert run(tmp_path / "a.gif", tmp_path / "a.gif.png", "--save", tmp_path / "out", "-q").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a.gif-2.png", "a.gif.png"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["p.jpg", "--save", "out", "--json", "p.jpg"], "never overwritten"),
        (["p.jpg", "--save", "out", "--json", "link.jpg"], "never overwritten"),
        (["folder", "--save", "out", "--json", "folder/q.jpg"], "never overwritten"),
        (["p.jpg", "--save", "out", "--json", "out/p.jpg"], "never overwritten"),
        (["p.jpg", "--save", "out", "--image", "face.png", "--json", "face.png"], "never overwritten"),
        (["p.jpg", "face.png", "--save", ".", "--json", "r.json"], "never overwritten"),
        (["folder/q.jpg", "--save", ".", "--image", "q.jpg"], "never overwritten"),
        (["p.jpg", "--save", "out", "--json", "folder"], "a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_that_was_there_changes(examples, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("p.jpg", "q.jpg", "folder/q.jpg"):
        shutil.copy(examples / "eileen_collins.jpg", tmp_path / name)
    (tmp_path / "link.jpg").hardlink_to(tmp_path / "p.jpg")
    Image.fromarray(np.full((9, 9, 3), 80, np.uint8)).save(tmp_path / "face.png")
    before = contents(tmp_path)
    result = run(*arguments)
    assert result.exit_code != 0
    assert reason in f"{result.output}{result.exception}"
    after = contents(tmp_path)
    after.pop("r.json", None)  # the report that says why
    assert after == before


@pytest.mark.parametrize(
    ("outputs", "inputs", "reason"),
    [
        ({"--save": "x.mp4", "--json": "x.mp4"}, [], "--json x.mp4: --save names the same file"),
        ({"--json": "y/../same", "--csv": "same"}, [], "--csv same: --json names the same file"),
        ({"--json": "-", "--csv": "-"}, [], "--csv -: --json names the same file"),
        ({"--json": "c.mp4"}, ["c.mp4"], "--json c.mp4: is an input"),
        ({"--json": "-", "--csv": None, "--save": Path("x.mp4")}, ["-", "c.mp4"], None),
    ],
)
def test_outputs_and_inputs_are_different_files(outputs, inputs, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "y").mkdir()
    if reason is None:
        refuse_overwriting(outputs, inputs)
    else:
        with pytest.raises(ConfigError) as caught:
            refuse_overwriting(outputs, inputs)
        assert reason in str(caught.value)


@pytest.mark.parametrize("there", ["another photo", "a broken link"])
def test_what_lies_in_the_folder_stays_unless_it_may_be_replaced(examples, tmp_path, there):
    """`y2023/IMG_1.jpg --save y2024`, where another IMG_1.jpg lies; the other input is still done."""
    photos, years = tmp_path / "y2023", tmp_path / "y2024"
    for folder in (photos, years):
        folder.mkdir()
    for name in ("IMG_1.jpg", "IMG_2.jpg"):
        shutil.copy(examples / "eileen_collins.jpg", photos / name)
    target = years / "IMG_1.jpg"
    if there == "another photo":
        shutil.copy(examples / "grace_hopper.jpg", target)
    else:
        target.symlink_to(tmp_path / "elsewhere.jpg")
    before = contents(tmp_path)
    result = run(photos, "--save", years, "--json", tmp_path / "r.json")
    assert result.exit_code == 1
    assert f"{target}: is there already" in result.output and "--overwrite" in result.output
    one, two = json.loads((tmp_path / "r.json").read_text())["results"]
    assert one["saved"] is None and "is there already" in one["error"] and two["error"] is None
    after = contents(tmp_path)
    assert {name: after.get(name) for name in before} == before and "y2024/IMG_2.jpg" in after
    assert run(photos, "--save", years, "--overwrite", "-q").exit_code == 0
    assert contents(tmp_path)["y2024/IMG_1.jpg"] == after["y2024/IMG_2.jpg"], "the same photo was hidden"


def test_an_original_is_not_replaced_even_when_asked(examples, tmp_path):
    shutil.copy(examples / "eileen_collins.jpg", tmp_path / "p.jpg")
    before = contents(tmp_path)
    result = run(tmp_path / "p.jpg", "--save", tmp_path, "--overwrite")
    assert result.exit_code == 1 and "never overwritten" in result.output
    assert contents(tmp_path) == before


def test_the_threshold_that_the_command_names_is_the_one_it_uses():
    from featherface.anonymise.look import THRESHOLD

    assert f"default: ({THRESHOLD})" in " ".join(run("--help").output.replace("│", " ").split())
