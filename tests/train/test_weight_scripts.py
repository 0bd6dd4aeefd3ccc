"""The scripts that make starts and means of weights, as docs/training.md calls them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from featherface.model import build, preset
from featherface.model.fold import folded
from featherface.model.weights import load_weights, save_weights
from featherface.zoo import WEIGHTS

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def other(tmp_path):
    """Another network of the recipe's layout."""
    torch.manual_seed(5)
    network = build(preset("nano_b")).eval()
    save_weights(network, tmp_path / "other.safetensors")
    return network


@pytest.mark.long
def test_a_start_is_what_the_training_begins_from_and_takes_modules_of_another(tiny_set, tmp_path, other):
    save = tmp_path / "new" / "start.safetensors"
    init = f'init="{tmp_path / "other.safetensors"}"'
    grafted = ["--set", "init=random", "--take", "context.0,heads.2", "--of", tmp_path / "other.safetensors"]
    for more, same in (
        (["--set", init], ("context.0", "heads.2", "neck")),
        (grafted, ("context.0", "heads.2")),
    ):
        done = run("start_weights.py", tiny_set / "tiny.toml", *more, "--save", save)
        assert done.returncode == 0, done.stderr
        start = load_weights(save)
        for name in ("context.0", "heads.2", "neck"):
            pairs = zip(
                start.get_submodule(name).parameters(), other.get_submodule(name).parameters(), strict=True
            )
            assert all(torch.equal(a, b) for a, b in pairs) == (name in same), name


@pytest.mark.long
def test_a_start_of_another_layout_has_its_surgery_behind_it(tiny_set, tmp_path):
    before = dataclasses.replace(preset("nano_b"), context_inputs=(0, 0, 0), refine_p3=True)
    save_weights(network := build(before).eval(), tmp_path / "before.safetensors")
    init, save = f'init="{tmp_path / "before.safetensors"}"', tmp_path / "start.safetensors"
    done = run("start_weights.py", tiny_set / "tiny.toml", "--set", init, "--save", save)
    assert done.returncode == 0, done.stderr
    start = load_weights(save)
    assert start.config == preset("nano_b")
    wide, narrow = (n.get_submodule("context.0.conv3.0").weight for n in (network, start))
    through = torch.einsum(
        "orhw,ri->oihw", narrow, start.get_submodule("context.0.reduce").weight[:, :, 0, 0]
    )
    assert torch.nn.functional.cosine_similarity(through.flatten(), wide.flatten(), dim=0) > 0.5


@pytest.mark.long
def test_a_mean_lies_between_and_keeps_what_it_is_told_to(tmp_path, other):
    third = build(preset("nano_b")).eval()
    save_weights(third, tmp_path / "third.safetensors")
    stages = [f"{tmp_path / 'other.safetensors'}:1", f"{tmp_path / 'third.safetensors'}:3"]
    done = run("average_weights.py", *stages, "--keep", "heads.1", "--save", tmp_path / "mean.safetensors")
    assert done.returncode == 0, done.stderr
    mean, one, two = (
        folded(n).state_dict() for n in (load_weights(tmp_path / "mean.safetensors"), other, third)
    )
    for name, value in mean.items():
        share = 1 if name.startswith("heads.1.") else 0.25
        torch.testing.assert_close(value, one[name] * share + two[name] * (1 - share), atol=1e-5, rtol=1e-4)


@pytest.mark.shared
@pytest.mark.long
def test_scores_of_one_prior_that_are_too_low_are_raised(tmp_path, shared):
    """As if 64 px had been taught by somebody who is never sure: what surrounds it is shown first."""
    network = load_weights(WEIGHTS / "nano_b.safetensors")
    with torch.no_grad():
        network.heads[1].classes.bias[:2] += torch.tensor([1.5, -1.5])
    save_weights(network, tmp_path / "unsure.safetensors")
    labels = ["--data", shared / "data" / "widerface" / "train" / "label.txt", "--limit", "24"]
    done = run(
        "balance_scores.py", tmp_path / "unsure.safetensors", *labels, "--save", tmp_path / "even.safetensors"
    )
    assert done.returncode == 0, done.stderr
    easy = [float(line.split("AP ")[1].split(" /")[0]) for line in done.stdout.splitlines() if "AP " in line]
    assert easy[-1] > easy[0] + 1
    before, after = load_weights(tmp_path / "unsure.safetensors"), load_weights(tmp_path / "even.safetensors")
    slopes, shifts = (
        torch.tensor(json.loads(line[2:]))
        for line in done.stdout.splitlines()
        if line.startswith(("a [", "b ["))
    )
    assert shifts[2] > 1
    images = torch.randn(1, 3, 64, 64) * 40
    with torch.no_grad():
        (old, *others), (new, *same) = before(images), after(images)
    kinds = torch.cat(
        [torch.tensor([0, 1]).repeat(64), torch.tensor([2, 3]).repeat(16), torch.tensor([4, 5]).repeat(4)]
    )
    logits = old[0, :, 1] - old[0, :, 0]
    torch.testing.assert_close(
        new[0, :, 1] - new[0, :, 0], slopes[kinds] * logits + shifts[kinds], atol=0.1, rtol=0.01
    )
    for one, other in zip(others, same, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        pytest.param(
            [
                "start_weights.py",
                "{tiny}",
                "--set",
                "init=random",
                "--take",
                "necks",
                "--of",
                "{other}",
                "--save",
                "x",
            ],
            "--take necks",
            id="no such module",
        ),
        pytest.param(
            ["start_weights.py", "r.toml", "--take", "neck", "--save", "x"], "go together", id="of whom?"
        ),
        pytest.param(
            ["average_weights.py", "w.safetensors", "--save", "x"], "its share is missing", id="no share"
        ),
    ],
)
def test_what_is_missing_is_said(command, says, tiny_set, tmp_path, other):
    places = {"tiny": tiny_set / "tiny.toml", "other": tmp_path / "other.safetensors"}
    done = run(*(word.format(**places) for word in command))
    assert done.returncode == 2 and says in done.stderr
