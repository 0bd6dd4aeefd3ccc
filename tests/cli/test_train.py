"""`featherface train` and `distill` from the command line: what cannot start says so, and what starts learns."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FEATHERFACE = [sys.executable, "-c", "from featherface.cli import main; main()"]
RECIPE = """
name = "ovals"
model = "nano_b"
output = "runs"
batch_size = 8
steps = 160
max_lr = 4e-3
ema = 0.9
precision = "fp32"
threads = 1
validation = "label.txt"
[data]
crop_size = 96
cache_dir = "cache"
workers = 0
native_rate = 1.0
native_scale = [0.9, 1.1]
mosaic_rate = 0.0
rotate_rate = 0.0
sources = [{ labels = "label.txt" }]
"""


@pytest.fixture
def ovals(tmp_path):
    """Eight dark pictures with two bright ovals each, labelled without landmarks, and a recipe that learns them."""
    rng = np.random.default_rng(1)
    lines = []
    (tmp_path / "images").mkdir()
    for number in range(8):
        picture = rng.integers(0, 60, (96, 128, 3), np.uint8)
        lines.append(f"# {number}.png")
        for x, y in ((32, rng.integers(24, 72)), (96, rng.integers(24, 72))):
            cv2.ellipse(picture, (x, int(y)), (12, 16), 0, 0, 360, (225, 195, 175), -1)
            lines.append(f"{x - 12} {y - 16} 24 32" + " -1" * 15)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), picture)
    (tmp_path / "label.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "ovals.toml").write_text(RECIPE)
    (tmp_path / "broken.onnx").write_bytes(b"half a network")
    whole = (tmp_path / "images" / "0.png").read_bytes()
    (tmp_path / "images" / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "half.txt").write_text("# half.png\n20 20 24 32" + " -1" * 15 + "\n")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "options", "reason"),
    [
        pytest.param("train", ["gone.toml"], "gone.toml: no such file", id="no recipe"),
        pytest.param("train", ["--set", "learning_rate=1"], "unknown key learning_rate", id="unknown key"),
        pytest.param("train", ["--set", "batch_size=many"], "batch_size = 'many': must be int", id="type"),
        pytest.param("train", ["--set", "data.sources=[]"], "names no labelled set", id="nothing to learn"),
        pytest.param(
            "train", ["--set", 'data.sources=[{labels="gone"}]'], "gone: no such file", id="missing labels"
        ),
        pytest.param("train", ["--set", "data.negatives=gone"], "data.negatives: gone", id="no negatives"),
        pytest.param("train", ["--set", "validation=gone"], "gone", id="missing validation set"),
        pytest.param("train", ["--set", "init=gone.safetensors"], "gone.safetensors", id="missing start"),
        pytest.param("train", ["--resume"], "no checkpoint to resume from", id="nothing to resume"),
        pytest.param("train", ["--set", "output=label.txt"], "cannot be written", id="a file for a folder"),
        pytest.param("train", ["--set", "init=v3"], "or a model that ships", id="a model that does not ship"),
        pytest.param("train", ["--set", "init=imagenet"], "imagenet:FILE", id="a start without its file"),
        pytest.param(
            "train",
            ["--hours", "1", "--set", "steps=3"],
            "hours = 1.0 decide; add --set hours=0",
            id="two lengths",
        ),
        pytest.param(
            "train", ["--set", "epochs=1"], "steps = 160 decide; add --set steps=0", id="a length overruled"
        ),
        pytest.param(
            "train", ["--set", "validation=half.txt"], "half.png", id="a validation picture that is broken"
        ),
        pytest.param("distill", [], "distill.teacher names no teacher", id="no teacher"),
        pytest.param("distill", ["--set", "distill.teacher=gone.onnx"], "gone.onnx", id="missing teacher"),
        pytest.param(
            "distill",
            ["--set", "distill.teacher=broken.onnx"],
            "broken.onnx: not a network that can teach",
            id="a broken teacher",
        ),
        pytest.param(
            "distill",
            ["--set", "distill.teacher=label.txt"],
            "label.txt: not a readable checkpoint",
            id="a teacher that is text",
        ),
    ],
)
def test_what_cannot_start_is_one_line_and_leaves_nothing(run, ovals, monkeypatch, command, options, reason):
    monkeypatch.chdir(ovals)
    recipe = [] if options[:1] == ["gone.toml"] else ["ovals.toml"]
    outcome = run(command, *recipe, *options)
    assert outcome.code == 1
    assert reason in outcome.err.splitlines()[-1] and "Traceback" not in outcome.err
    assert not list(ovals.rglob("*.safetensors"))


def test_a_picture_that_cannot_be_read_is_named_before_the_first_step(run, ovals, monkeypatch):
    monkeypatch.chdir(ovals)
    (ovals / "images" / "3.png").write_bytes(b"no picture")
    outcome = run("train", "ovals.toml")
    assert outcome.code == 1 and "3.png" in outcome.err and "step" not in outcome.err


@pytest.mark.long
def test_a_rate_that_bursts_the_network_stops_with_the_batch_saved(run, ovals, monkeypatch):
    monkeypatch.chdir(ovals)
    outcome = run("train", "ovals.toml", "--set", "max_lr=1e25", "--set", "clip_norm=0.0")
    assert outcome.code == 1
    assert re.search(
        r"error: the loss became (nan|-?inf); batch of step \d+ saved as runs/ovals/bad_batch", outcome.err
    )
    assert list((ovals / "runs" / "ovals").glob("bad_batch_*.npz"))


def rows(table):
    with table.open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.long
def test_training_learns_labels_of_ones_own(run, ovals, monkeypatch):
    monkeypatch.chdir(ovals)
    untrained = run("train", "ovals.toml", "--set", "steps=1", "--set", "name=untrained")
    trained = run("train", "ovals.toml")
    assert (untrained.code, trained.code) == (0, 0), trained.err
    (before,), (after,) = (rows(ovals / "runs" / name / "validation.csv") for name in ("untrained", "ovals"))
    assert after["ap_all"] > before["ap_all"] + 0.3
    losses = [row["task"] for row in rows(ovals / "runs" / "ovals" / "train.csv")]
    assert losses[-1] < 0.7 * losses[0]
    assert trained.out.strip() == "runs/ovals/last.safetensors"
    assert (ovals / "runs" / "ovals" / "best.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.shared
def test_the_smoke_recipe_learns(shared, tmp_path):
    """Nine minutes by the recipe; the machine must be free for them, because the stage is fitted into time."""
    recipe = (ROOT / "configs" / "smoke.toml").read_text().replace("../shared", str(shared))
    (tmp_path / "smoke.toml").write_text(recipe)
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count() or 1)}
    done = subprocess.run(
        [*FEATHERFACE, "train", "smoke.toml", "--set", f"data.cache_dir={ROOT}/.cache/images"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [row["task"] for row in rows(tmp_path / "runs" / "smoke" / "train.csv")]
    part = max(len(losses) // 5, 1)
    assert np.mean(losses[-part:]) < 0.8 * np.mean(losses[:part])
    measured = rows(tmp_path / "runs" / "smoke" / "validation.csv")
    assert measured[-1]["ap_easy"] > measured[0]["ap_easy"]
    assert measured[-1]["ap_hard"] > measured[0]["ap_hard"]
