"""Soft pruning: zeroed filters put out nothing and may recover."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext

import pytest
import torch

pytest.importorskip("torch_pruning", reason="the prune extra is not installed")

from featherface.errors import ConfigError
from featherface.model import build, preset
from featherface.model.fold import folded
from featherface.prune.config import PruneConfig, RefitConfig, SoftConfig
from featherface.prune.layout import Rates, pruned_layout
from featherface.prune.soft import SoftPruning, SoftRecord
from featherface.prune.surgery import doomed

LAYER = "backbone.stage2.2.1.0"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return folded(build(preset("v2"))).train()


@pytest.fixture
def target():
    return pruned_layout(preset("v2"), Rates(stage2=0.5), "small")


def maps(network):
    return network.backbone.stage2[:3](network.backbone.stage1(torch.rand(1, 3, 64, 64) * 255 - 110))


def test_filters_are_zeroed_every_so_many_steps_only(network, target):
    soft, before = SoftPruning(target, every=3), network.get_submodule(LAYER).weight.clone()
    for steps in (1, 2):
        soft(network, steps)
        assert torch.equal(network.get_submodule(LAYER).weight, before)
    soft(network, 3)
    silent = maps(network).abs().amax((0, 2, 3)) == 0
    assert int(silent.sum()) == 64


def test_the_last_step_zeroes_and_each_choice_is_kept(network, target):
    kept = []
    soft = SoftPruning(target, every=2, last=3, keep=kept.append)
    for steps in (1, 2, 3):
        with torch.no_grad():  # other filters become the least important
            network.get_submodule(LAYER).weight[:40] *= 3 if steps == 3 else 1e-3
        soft(network, steps)
    assert len(kept) == 2, "after steps 2 and 3"
    silent = maps(network).abs().amax((0, 2, 3)) == 0
    assert silent.nonzero().flatten().tolist() == kept[-1][LAYER]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card")
def test_on_a_card_the_same_filters_are_chosen(network, target):
    gone = doomed(network, target)
    assert doomed(network.cuda(), target) == gone


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "v2.safetensors").write_text("weights")
    (tmp_path / "other.safetensors").write_text("others")
    init = str(tmp_path / "v2.safetensors")
    return PruneConfig(init=init, train="b", rates=Rates(stage2=0.5), soft=SoftConfig(steps=4, every=2))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({}, None, id="the same recipe"),
        pytest.param({"refit": RefitConfig(pictures=3)}, None, id="what comes after the training may change"),
        pytest.param({"rates": Rates(stage2=0.25)}, "rates.stage2 changed", id="another rate"),
        pytest.param({"soft": SoftConfig(steps=4, every=3)}, "soft.every changed", id="zeroed less often"),
        pytest.param({"multiple": 16}, "multiple changed", id="other widths of the same rates"),
        pytest.param({"init": "{folder}/other.safetensors"}, "init changed", id="other weights"),
    ],
)
def test_a_record_is_taken_up_by_its_own_recipe_only(change, says, recipe, tmp_path):
    SoftRecord(tmp_path / "soft.json", recipe).keep({LAYER: [1, 2]})
    change = {k: v.format(folder=tmp_path) if isinstance(v, str) else v for k, v in change.items()}
    again = SoftRecord(tmp_path / "soft.json", dataclasses.replace(recipe, **change))
    assert again.chosen() == {LAYER: [1, 2]}
    with pytest.raises(ConfigError, match=f"another recipe; {says}") if says else nullcontext():
        again.check()


def test_a_record_of_a_version_that_kept_less_is_taken_up(recipe, tmp_path):
    (tmp_path / "soft.json").write_text('{"recipe": {"multiple": 8}, "chosen": {}}')
    SoftRecord(tmp_path / "soft.json", recipe).check()
    with pytest.raises(ConfigError, match="another recipe; multiple changed"):
        SoftRecord(tmp_path / "soft.json", dataclasses.replace(recipe, multiple=16)).check()


def test_before_the_first_choice_any_recipe_may_go_on(recipe, tmp_path):
    record = SoftRecord(tmp_path / "soft.json", recipe)
    record.forget()
    record.check()
    assert record.chosen() == {}


@pytest.mark.parametrize(
    "text", ["", "[]", '{"recipe": 3}', "\x00"], ids=["empty", "a list", "a number", "bytes"]
)
def test_a_file_that_is_no_record_is_refused(text, recipe, tmp_path):
    (tmp_path / "soft.json").write_text(text)
    with pytest.raises(ConfigError, match="not a record of soft pruning"):
        SoftRecord(tmp_path / "soft.json", recipe).check()


def test_zeroed_filters_get_gradients_and_so_may_recover(network, target):
    gone = doomed(network, target)[LAYER]
    SoftPruning(target, every=1)(network, 1)
    network.backbone(torch.rand(1, 3, 64, 64) * 255 - 110)[-1].square().sum().backward()
    gradient = network.get_submodule(LAYER).weight.grad[gone]
    assert float(gradient.flatten(1).norm(dim=1).min()) > 0


def test_what_was_zeroed_is_what_goes(network, target):
    gone = doomed(network, target)[LAYER]
    SoftPruning(target, every=1)(network, 1)
    assert doomed(network, target)[LAYER] == gone


def test_another_networks_target_is_refused(network):
    with pytest.raises(ConfigError, match="is not v2"):
        SoftPruning(dataclasses.replace(preset("v1"), name="other"), every=1)(network, 1)
