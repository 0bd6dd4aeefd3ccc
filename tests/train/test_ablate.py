"""The arms of an ablation differ in their attention alone, and what is finished is not trained again."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from featherface.cli.app import build_app
from featherface.model import build, preset
from featherface.train.ablate import ARMS, arm_recipe, arm_start

SHARED = Path(os.environ.get("FEATHERFACE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
WIDER = SHARED / "data" / "widerface"


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param([], "validation names no set", id="nothing to measure on"),
        pytest.param(["--set", f"validation='{WIDER}'", "--seeds", "0"], "at least one seed", id="no seed"),
        pytest.param(["--set", "model=v9", "--set", f"validation='{WIDER}'"], "v9", id="unknown model"),
    ],
)
def test_bad_recipes_are_refused_before_anything_is_trained(tiny_set, tmp_path, options, words):
    if "v9" in words and not WIDER.exists():
        pytest.skip("../shared/data/widerface is absent")
    command = ["ablate", str(tiny_set / "tiny.toml"), "--set", f'output="{tmp_path}"', *options]
    result = CliRunner().invoke(build_app(), command)
    assert result.exit_code != 0
    assert words in str(result.exception)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.skipif(not WIDER.exists(), reason="../shared/data/widerface is absent")
def test_a_table_of_six_arms_and_nothing_trained_twice(tiny_set, tmp_path):
    command = ["ablate", str(tiny_set / "tiny.toml"), "--seeds", "1", "--repeats", "3"]
    for value in (f'output="{tmp_path}"', "steps=2", f"validation='{WIDER}'", "validation_images=2"):
        command += ["--set", value]
    first = CliRunner().invoke(build_app(), command)
    assert first.exit_code == 0, first.output
    with (tmp_path / "tiny" / "ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == [arm.name for arm in ARMS]
    sizes = {row["arm"]: int(row["parameters"]) for row in rows}
    assert sizes["none-none"] == min(sizes.values())
    assert sizes["none-none"] < sizes["none-coordinate"] < sizes["cbam-coordinate"]

    weights = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.safetensors")}
    gone = tmp_path / "tiny" / "cbam-none-seed0" / "ap.json"
    assert json.loads(gone.read_text()).keys() == {"easy", "medium", "hard"}
    time.sleep(0.05)
    assert CliRunner().invoke(build_app(), command).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in weights} == weights

    other = CliRunner().invoke(build_app(), [*command, "--set", "max_lr=0.5"])
    assert other.exit_code != 0
    assert "another recipe" in str(other.exception)
