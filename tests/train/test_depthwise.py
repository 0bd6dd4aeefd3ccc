"""Strided depthwise convs with another backward pass: the same numbers as torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from featherface.model import build, preset
from featherface.model.fold import folded
from featherface.train.depthwise import StridedDepthwise, quicken

CASES = [
    pytest.param({}, True, id="as MobileNet has it"),
    pytest.param({"bias": False}, True, id="without bias"),
    pytest.param({"stride": 1}, False, id="stride 1 is quick as it is"),
    pytest.param({"groups": 1}, False, id="not depthwise"),
    pytest.param({"padding": 0}, False, id="another padding"),
    pytest.param({"kernel_size": 5, "padding": 2}, False, id="another kernel"),
]


def conv(**changed):
    return nn.Conv2d(8, 8, **{"kernel_size": 3, "stride": 2, "padding": 1, "groups": 8, **changed})


def gradients(network, images, bf16):
    images = images.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        out = network(images)
    out.float().square().sum().backward()
    return [out, images.grad, *(p.grad for p in network.parameters())]


@pytest.mark.parametrize(("changed", "quick"), CASES)
@pytest.mark.parametrize("bf16", [False, True])
def test_output_and_gradients_stay(changed, quick, bf16):
    torch.manual_seed(1)
    plain = nn.Sequential(conv(**changed))
    other = nn.Sequential(conv(**changed))
    other.load_state_dict(plain.state_dict())
    quicken(other)
    assert isinstance(other[0], StridedDepthwise) == quick
    images = torch.randn(2, 8, 12, 16)
    for ours, theirs in zip(gradients(other, images, bf16), gradients(plain, images, bf16), strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, rtol=1e-2 if bf16 else 1e-5, atol=2e-2 if bf16 else 1e-5)


def test_frozen_weights_and_inputs_get_no_gradient():
    layer = nn.Sequential(conv())
    quicken(layer)
    layer.requires_grad_(False)
    images = torch.randn(1, 8, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        layer(images).float().sum().backward()
    assert images.grad is not None
    assert layer[0].weight.grad is None


def test_a_network_keeps_its_names_and_has_several():
    network = folded(build(preset("nano_b")))
    names = list(network.state_dict())
    quicken(network)
    assert list(network.state_dict()) == names
    assert sum(isinstance(m, StridedDepthwise) for m in network.modules()) >= 4
