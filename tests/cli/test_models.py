"""`featherface models`, `summary` and `attention` from end to end."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from featherface.model import PRESETS


def test_models_tell_size_ap_data_and_licence(run):
    outcome = run("models")
    assert outcome.code == 0
    assert "v2: " in outcome.out and "494,542 parameters" in outcome.out
    for word in ("MB", "licence", "protocol original: easy", "trained on", "started from"):
        assert word in outcome.out.replace("MIT;", "licence"), word


@pytest.mark.parametrize(
    ("model", "total"),
    [
        pytest.param("v1", "488,664", id="the paper's V1"),
        pytest.param("v2", "494,542", id="V2: 493K within one per cent, 5.9K over V1"),
    ],
)
def test_summary_counts_and_adds_up(run, model, total):
    lines = run("summary", model).out.strip().splitlines()
    assert lines[-1].split()[:2] == ["total", total]
    parts = [int(line[34:46].replace(",", "")) for line in lines[2:-1]]
    assert sum(parts) == int(total.replace(",", ""))


def test_budgets_of_the_family():
    assert set(PRESETS) == {"v1", "v2", "nano_b"}


def test_summary_reads_a_published_checkpoint(run, shared):
    outcome = run("summary", shared / "published" / "featherface_v1_489015.pth")
    assert outcome.code == 0 and "489,015" in outcome.out


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_diagram_is_a_picture_of_the_parts(run, tmp_path, suffix):
    target = tmp_path / f"v2.{suffix}"
    assert run("summary", "v2", "--diagram", target).code == 0
    if suffix == "svg":
        assert "BiFPN" in target.read_text() and target.read_text().startswith("<svg")
    else:
        drawn = cv2.imread(str(target))
        assert drawn is not None and drawn.std() > 5


def test_attention_draws_the_photo_and_its_maps(run, examples, tmp_path):
    target = tmp_path / "maps.png"
    outcome = run("attention", examples / "eileen_collins.jpg", "--save", target)
    assert outcome.code == 0, outcome.err
    drawn = cv2.imread(str(target)).astype(int)
    assert drawn.shape[0] > 512 and drawn.shape[1] > 512, "several maps of a photo of 512x512"
    assert np.ptp(drawn, axis=2).max() > 100, "in colour"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["summary", "v3"], "v3", id="no such preset"),
        pytest.param(["summary", "v2", "--size", "100"], "--size 100", id="a size that is no multiple of 32"),
        pytest.param(["summary", "v2", "--diagram", "x.gif"], "x.gif", id="a format that is not drawn"),
        pytest.param(["summary", "gone.safetensors"], "gone.safetensors", id="missing weights"),
        pytest.param(["attention", "gone.jpg", "--save", "x.png"], "gone.jpg", id="missing photo"),
        pytest.param(["attention", "gone.jpg", "--save", "x.png", "--model", "v9"], "v9", id="missing model"),
    ],
)
def test_what_is_wrong_is_named(run, arguments, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run(*arguments)
    assert outcome.code != 0 and reason in outcome.err and "Traceback" not in outcome.err
    assert not list(tmp_path.iterdir())
