"""The arms of an ablation differ in what they say alone, and what is finished is not trained again."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from featherface.cli.ablate import _remembered
from featherface.cli.app import build_app
from featherface.errors import ConfigError, FeatherFaceError, ModelError
from featherface.model import build, preset
from featherface.model.transplant import copy_matching
from featherface.train.ablate import (
    ATTENTION_ARMS,
    Arm,
    arm_recipe,
    arm_start,
    load_ablation,
    without_attention,
)
from featherface.train.config import TrainConfig

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SAME_FUNCTION_ARMS = [
    Arm(f"{backbone}-{neck}", backbone, neck)
    for backbone in ("relu", "cbam")
    for neck in ("relu", "cbam", "coordinate")
]


def test_the_ablation_of_a_version_with_fewer_keys_goes_on(tmp_path):
    (recipe, _), kept = load_ablation(CONFIGS / "ablate.toml"), tmp_path / "recipe.json"
    kept.write_text(_remembered(CONFIGS / "ablate.toml", recipe, kept))
    before = json.loads(kept.read_text())
    del before["trainable"], before["data"]["fill_from"], before["arms"]["none-none"]["set"]
    kept.write_text(json.dumps(before))
    now = json.loads(_remembered(CONFIGS / "ablate.toml", recipe, kept))
    assert now["data"]["fill_from"] == 0 and now["arms"]["none-none"]["set"] == []
    before["data"]["crop_size"] += 32
    kept.write_text(json.dumps(before))
    with pytest.raises(ConfigError, match="another recipe"):
        _remembered(CONFIGS / "ablate.toml", recipe, kept)


@pytest.fixture(scope="module")
def base():
    """A network whose attention depends on its input, as a trained one's does."""
    torch.manual_seed(5)
    network = build(preset("nano_b"))
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            if "attention" in name:
                tensor.add_(torch.randn_like(tensor) * 0.3)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        network.train()(pictures(2)[0])
    return network.eval()


def pictures(batch=1, count=3):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(batch, 3, 64, 96, generator=generator) * 40 for _ in range(count)]


def outputs(network):
    with torch.no_grad():
        return torch.cat([part.flatten() for part in network(pictures()[0])])


@pytest.mark.parametrize("arm", ATTENTION_ARMS, ids=lambda arm: arm.name)
def test_an_arm_has_all_of_the_base_but_fresh_attention(base, arm):
    network = arm_start(base, arm)
    assert (network.config.backbone_attention, network.config.neck_attention) == (arm.backbone, arm.neck)
    theirs, ours = base.state_dict(), network.state_dict()
    kept = [name for name in ours if "attention" not in name]
    assert kept == [name for name in theirs if "attention" not in name]
    assert all(torch.equal(ours[name], theirs[name]) for name in kept)


def test_the_base_gets_no_head_start_from_its_own_attention(base):
    (own,) = [arm for arm in ATTENTION_ARMS if (arm.backbone, arm.neck) == ("cbam", "coordinate")]
    convs = [n for n in base.state_dict() if "neck_attention" in n and n.endswith("weight")]
    ours = arm_start(base, own).state_dict()
    assert any(not torch.equal(ours[name], base.state_dict()[name]) for name in convs)


def test_an_arm_that_keeps_its_own_network_starts_as_the_base(base):
    network = arm_start(base, Arm("other losses", set=("loss.box=ciou",)), "own")
    assert torch.equal(outputs(network), outputs(base))


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param({}, id="plain"),
        pytest.param({"context": "deformable"}, id="deformable"),
        pytest.param({"context_inputs": (8, 0, 4)}, id="fewer inputs for SSH"),
    ],
)
def test_arms_of_one_function_start_alike_and_their_gates_can_learn(base, layout):
    if layout:
        other = build(dataclasses.replace(base.config, **layout)).eval()
        copy_matching(base.state_dict(), other)
        base = other
    neutral = without_attention(base, pictures())
    wanted = outputs(neutral)
    assert (outputs(base) - wanted).abs().max() > 1e-3, "the base's own gates do depend on the picture"
    for arm in SAME_FUNCTION_ARMS:
        network = arm_start(neutral, arm, "same_function")
        assert (network.config.backbone_attention, network.config.neck_attention) == (arm.backbone, arm.neck)
        assert torch.allclose(outputs(network), wanted, atol=1e-4), arm.name
        sum(part.square().mean() for part in network(pictures()[0])).backward()
        for place in ("backbone_attention", "neck_attention"):
            gradients = [p.grad.abs().sum() for p in getattr(network, place).parameters()]
            assert not gradients or sum(gradients) > 0, f"{arm.name}: dead gates"


def test_constant_gates_are_taken_over_exactly(base):
    constant = arm_start(base, Arm("own", "cbam", "coordinate"))
    with torch.no_grad():
        for name, tensor in constant.named_parameters():
            if name.endswith(("mlp.2.weight", "spatial.conv.weight", "conv_h.weight", "conv_w.weight")):
                tensor.zero_()
            elif name.endswith(("mlp.2.bias", "conv_h.bias", "conv_w.bias")):
                tensor.copy_(torch.randn_like(tensor))
    found = outputs(without_attention(constant, pictures()))
    assert torch.allclose(found, outputs(constant), atol=1e-4)


def test_a_place_without_attention_says_nothing_to_begin_as(base):
    bare = build(dataclasses.replace(base.config, neck_attention="none"))
    with pytest.raises(ModelError, match="no attention at backbone or neck to begin as \\(cbam, none\\)"):
        without_attention(bare, pictures())


def test_arms_of_one_seed_see_the_same_crops(tiny):
    one, other = (arm_recipe(tiny, arm, 1, "start.safetensors") for arm in ATTENTION_ARMS[:2])
    assert one.name != other.name
    assert (one.seed, one.data, one.steps) == (other.seed, other.data, other.steps)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("ablate*.toml")), ids=lambda path: path.stem)
def test_every_shipped_ablation_parses_and_gives_each_arm_the_same_budget(path):
    ablation, recipes = load_ablation(path)
    assert ablation.name == path.stem and ablation.validation and len(recipes) > 1
    assert all(type(recipe) is TrainConfig for recipe in recipes), (
        "a checkpoint must not depend on other arms"
    )
    budgets = {(r.steps, r.epochs, r.hours, r.batch_size, r.data, r.max_lr, r.seed) for r in recipes}
    assert len(budgets) == 1


def test_arms_change_values_of_the_recipe(tmp_path):
    path = tmp_path / "losses.toml"
    path.write_text('arms = [{ name = "a" }, { name = "b", set = ["loss.box=ciou", "loss.box_weight=3"] }]')
    _, (one, other) = load_ablation(path, ["loss.box_weight=4"])
    assert (one.loss.box, one.loss.box_weight) == ("eiou", 4.0)
    assert (other.loss.box, other.loss.box_weight) == ("ciou", 3.0), "the arm's own value counts last"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            'arms = [{ name = "a", set = ["loss.bx=ciou"] }]', "arm a: .*unknown key loss.bx", id="key"
        ),
        pytest.param('arms = [{ name = "a", set = ["loss.box=x"] }]', "arm a: .*must be one of", id="value"),
        pytest.param('arms = [{ name = "a", set = ["seed=3"] }]', "arm a: seed must be the same", id="seed"),
        pytest.param('arms = [{ name = "a", neck = "se" }]', "neck = 'se': must be one of", id="attention"),
        pytest.param('arms = [{ name = "a" }, { name = "a" }]', "two are called a", id="twice"),
        pytest.param('arms = [{ name = "a/b" }]', "'a/b' cannot name a folder", id="name with a slash"),
        pytest.param('arms = [{ name = ".." }]', "cannot name a folder", id="name of the folder above"),
        pytest.param("arms = []", "at least one", id="none"),
        pytest.param(
            'start = "same_function"\narms = [{ name = "a", neck = "none" }]',
            'takes "relu" in the place of "none"',
            id="a start that such an arm cannot have",
        ),
    ],
)
def test_bad_arms_are_named(tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_ablation(path)


def ablate(tiny_set, output, *options, seeds=2):
    command = ["ablate", str(tiny_set / "tiny.toml"), "--repeats", "3", "--seeds", str(seeds)]
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
    rows = table(folder)
    assert [row["arm"] for row in rows] == [arm.name for arm in ATTENTION_ARMS for _ in range(2)]
    assert [row["seed"] for row in rows] == ["0", "1"] * 6
    sizes = {row["arm"]: int(row["parameters"]) for row in rows}
    assert sizes["none-none"] == min(sizes.values())
    assert sizes["none-none"] < sizes["none-coordinate"] < sizes["cbam-coordinate"]
    whole = json.loads((folder / "ablation.json").read_text())
    assert whole["arms"][0]["latency_ratio"] == 1 and whole["recipe"]["steps"] == 2
    assert all(len(arm["ap"]) == 2 and arm["latency_ms"]["median"] > 0 for arm in whole["arms"])

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
    (folder / "recipe.json").write_text("{")
    assert "recipe.json: cannot be read" in str(ablate(tiny_set, tmp_path).exception)


@pytest.mark.slow
def test_arms_and_seeds_can_be_added_but_not_changed(tiny_set, tmp_path):
    losses = ("start=own", "model=nano_b")
    two = '{ name = "a" }, { name = "b", set = ["loss.box=ciou"] }'
    result = ablate(tiny_set, tmp_path, *losses, f"arms=[{two}]", seeds=1)
    assert result.exit_code == 0, result.output
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("last.safetensors")}
    assert [(row["arm"], row["seed"]) for row in table(tmp_path / "tiny")] == [("a", "0"), ("b", "0")]
    assert not list(tmp_path.rglob("*.onnx")), "one layout has one latency, which is not measured"

    three = two + ', { name = "c", set = ["loss.landmark=wing"] }'
    assert ablate(tiny_set, tmp_path, *losses, f"arms=[{three}]").exit_code == 0
    rows = table(tmp_path / "tiny")
    assert [(row["arm"], row["seed"]) for row in rows] == [(arm, seed) for arm in "abc" for seed in "01"]
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    other = two.replace("ciou", "smooth_l1")
    assert "another recipe" in str(ablate(tiny_set, tmp_path, *losses, f"arms=[{other}]").exception)


def table(folder):
    with (folder / "ablation.csv").open() as file:
        return list(csv.DictReader(file))
