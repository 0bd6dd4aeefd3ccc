"""What is left of a pruned network is fitted to what was there."""

from __future__ import annotations

import copy

import pytest
import torch

from featherface.errors import ConfigError

pytest.importorskip("torch_pruning", reason="the prune extra is not installed")

from featherface.prune.layout import Rates, pruned_layout
from featherface.prune.refit import refit
from featherface.prune.surgery import doomed, removed

STAGE3 = Rates(stage3=0.5)


def pictures(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return list((torch.rand(count, 3, 256, 256, generator=generator) * 255 - 110).split(1))


def logits(network):
    return network(torch.cat(pictures(2, 9))).class_logits


def last_map(network):
    """Of the backbone, (B, C, H, W), the channels that are left."""
    return network.backbone(torch.cat(pictures(2, 9)))[-1][:, :128]


def distance(ours, theirs, look=logits):
    """Of what the two say on other pictures, relative to how much the second one's own varies."""
    with torch.inference_mode():
        found, wanted = look(ours), look(theirs)
    return float((found - wanted).square().sum() / (wanted - wanted.mean()).square().sum())


@pytest.fixture(scope="module")
def repetitive(model):
    """A network whose last stage says everything twice: nothing need be lost when half of it goes."""
    network = copy.deepcopy(model)
    with torch.no_grad():
        for name, tensor in network.backbone.stage3.state_dict().items():
            # Not the depthwise convs of the first block: they follow stage 2, which stays.
            if tensor.ndim and tensor.shape[0] == 256 and not name.startswith("0.0"):
                tensor[128:] = tensor[:128]
        hidden = network.backbone_attention[2].attention.channel.mlp[0]
        hidden.weight[8:] = hidden.bias[8:] = 0
    return network


@pytest.mark.long
def test_filters_that_others_make_up_for_cost_nothing(repetitive):
    layout = pruned_layout(repetitive.config, STAGE3, "small")
    gone = {
        layer: list(range(len(channels), 2 * len(channels)))
        for layer, channels in doomed(repetitive, layout).items()
    }
    smaller = removed(repetitive, gone, layout)
    fitted = refit(repetitive, smaller, gone, pictures(6, 1))
    assert fitted.config == layout
    assert distance(smaller, repetitive, last_map) > 0.01, "without the fit something is lost"
    assert distance(fitted, repetitive, last_map) < 0.1 * distance(smaller, repetitive, last_map)


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param(Rates(stage2=0.25), id="backbone"),
        pytest.param(Rates(context_p3=0.5, context_p4=0.5, context_p5=0.5), id="context"),
    ],
)
@pytest.mark.long
def test_the_outputs_come_nearer_to_those_before(model, rates):
    layout = pruned_layout(model.config, rates, "small")
    gone = doomed(model, layout)
    smaller = removed(model, gone, layout)
    fitted = refit(model, smaller, gone, pictures(4, 2))
    assert distance(fitted, model) < 0.7 * distance(smaller, model)


def test_where_nothing_went_nothing_changes(model):
    fitted = refit(model, model, {}, pictures(2, 3))
    assert distance(fitted, model) < 1e-6


def test_without_pictures_there_is_nothing_to_fit_on(model):
    with pytest.raises(ConfigError, match="no pictures"):
        refit(model, model, {}, [])
