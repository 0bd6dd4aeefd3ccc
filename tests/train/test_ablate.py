"""The arms of an ablation differ in their attention alone, and what is finished is not trained again."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from typer.testing import CliRunner

from featherface.cli.app import build_app
from featherface.errors import FeatherFaceError
from featherface.model import build, preset
from featherface.train.ablate import ARMS, arm_recipe, arm_start


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(5)
    return build(preset("nano_b"))


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_an_arm_has_all_of_the_base_but_fresh_attention(base, arm):
    network = arm_start(base, arm)
    assert (network.config.backbone_attention, network.config.neck_attention) == (arm.backbone, arm.neck)
    theirs, ours = base.state_dict(), network.state_dict()
    kept = [name for name in ours if "attention" not in name]
    assert kept == [name for name in theirs if "attention" not in name]
    assert all(torch.equal(ours[name], theirs[name]) for name in kept)


def test_the_base_gets_no_head_start_from_its_own_attention(base):
    (own,) = [arm for arm in ARMS if (arm.backbone, arm.neck) == ("cbam", "coordinate")]
    convs = [n for n in base.state_dict() if "neck_attention" in n and n.endswith("weight")]
    ours = arm_start(base, own).state_dict()
    assert any(not torch.equal(ours[name], base.state_dict()[name]) for name in convs)


def test_arms_of_one_seed_see_the_same_crops(tiny):
    one, other = (arm_recipe(tiny, arm, 1, "start.safetensors") for arm in ARMS[:2])
    assert one.name != other.name
    assert (one.seed, one.data, one.steps) == (other.seed, other.data, other.steps)


def ablate(tiny_set, output, *options):
    command = ["ablate", str(tiny_set / "tiny.toml"), "--repeats", "3"]
    values = (f'output="{output}"', "steps=2", f"validation='{tiny_set}/label.txt'", *options)
    return CliRunner().invoke(build_app(), command + [word for value in values for word in ("--set", value)])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["validation="], "validation names no set", id="nothing to measure on"),
        pytest.param(["validation=gone"], "gone: no such file", id="a set that is not there"),
        pytest.param(["model=v9"], "v9", id="unknown model"),
        pytest.param(["init=gone.safetensors"], "gone.safetensors", id="missing start"),
        pytest.param(["attention=cbam"], "unknown key attention", id="unknown key"),
    ],
)
def test_bad_recipes_are_refused_before_anything_is_trained(tiny_set, tmp_path, options, words):
    result = ablate(tiny_set, tmp_path, *options)
    assert result.exit_code != 0
    assert isinstance(result.exception, FeatherFaceError) and words in str(result.exception)
    assert not list(tmp_path.rglob("*.*")), "nothing is left that would refuse the recipe put right"


@pytest.mark.parametrize(
    ("option", "words"), [("--seeds=0", "at least one seed"), ("--repeats=2", "three repeats")]
)
def test_too_few_seeds_or_repeats_are_refused(tiny_set, option, words):
    recipe = str(tiny_set / "tiny.toml")
    result = CliRunner().invoke(build_app(), ["ablate", recipe, "--set", "validation=x", option])
    assert words in str(result.exception)


@pytest.mark.slow
def test_a_table_of_six_arms_and_nothing_trained_twice(tiny_set, tmp_path):
    first = ablate(tiny_set, tmp_path)
    assert first.exit_code == 0, first.output
    folder = tmp_path / "tiny"
    with (folder / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == [arm.name for arm in ARMS for _ in range(2)]
    assert [row["seed"] for row in rows] == ["0", "1"] * 6
    sizes = {row["arm"]: int(row["parameters"]) for row in rows}
    assert sizes["none-none"] == min(sizes.values())
    assert sizes["none-none"] < sizes["none-coordinate"] < sizes["cbam-coordinate"]
    whole = json.loads((folder / "ablation.json").read_text())
    assert whole["arms"][0]["latency_ratio"] == 1 and whole["recipe"]["steps"] == 2
    assert all(len(arm["ap"]["all"]) == 2 and arm["latency_ms"] > 0 for arm in whole["arms"])

    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.safetensors")}
    again = folder / "cbam-none-seed0"
    (again / "ap.json").unlink()
    (again / "last.safetensors").unlink()
    assert ablate(tiny_set, tmp_path).exit_code == 0
    changed = {path for path, time in weights.items() if path.stat().st_mtime_ns != time}
    assert changed == {again / "last.safetensors"}

    (again / "ap.json").write_text("{")
    assert "ap.json: not the result of a training" in str(ablate(tiny_set, tmp_path).exception)
    assert "another recipe" in str(ablate(tiny_set, tmp_path, "max_lr=0.5").exception)
