"""Soft pruning: zeroed filters put out nothing and may recover."""

from __future__ import annotations

import dataclasses

import pytest
import torch

pytest.importorskip("torch_pruning", reason="the prune extra is not installed")

from featherface.errors import ConfigError
from featherface.model import build, preset
from featherface.model.fold import folded
from featherface.prune.layout import Rates, pruned_layout
from featherface.prune.soft import SoftPruning
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
