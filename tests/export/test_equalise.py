"""Equalization keeps the function and evens out what it says it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra train is not installed")

from featherface.export.deploy import BGR_MEAN  # noqa: E402
from featherface.export.equalise import equalised  # noqa: E402
from featherface.model import build, preset  # noqa: E402
from featherface.model.fold import folded  # noqa: E402


def _network(name):
    """Fresh weights, the first stage's channels of very different size: what int8 suffers from."""
    torch.manual_seed(0)
    config = replace(preset("v2"), refine_p3=True) if name == "refined" else preset(name)
    network = build(config).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.copy_(10 ** torch.empty_like(module.weight).uniform_(-1, 1))
                module.bias.uniform_(-0.5, 0.5)
    return network


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (1, 3, 96, 128)).astype(np.float32) for _ in range(2)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("v2", "refinements read a map beside the next block", id="v2"),
        pytest.param("nano_b", "every layer has a width of its own", id="nano_b"),
        pytest.param("refined", "P3's block reads what the head reads", id="V2 of before"),
    ],
)
def test_it_computes_the_same(name, reason, images):
    network = _network(name)
    other = equalised(network, images)
    batch = torch.from_numpy(images[0]).flip(1) - torch.tensor(BGR_MEAN).view(1, 3, 1, 1)
    with torch.no_grad():
        for before, after in zip(network(batch), other(batch), strict=True):
            scale = before.abs().max().item()
            assert scale > 0
            torch.testing.assert_close(after, before, atol=1e-4 * scale, rtol=1e-3, msg=reason)


def test_maps_that_a_depthwise_conv_reads_become_even(images):
    network = _network("v2")

    def spread(model):
        """Largest over smallest channel of the first block's pointwise conv."""
        reached = _reached(model, model.backbone.stage1[1][1][0], images)
        return (reached.max() / reached.min()).item()

    before = spread(folded(network))
    assert before > 5
    # No channel is divided by less than a 256th of what the largest is.
    assert spread(equalised(network, images)) == pytest.approx(max(1, before / 256), abs=1e-3)


def test_what_two_convs_read_is_evened_out_for_both(images):
    """SSH's wide convs read one map of few channels: none of them may be lost beside the largest."""
    network = _network("v2")
    with torch.no_grad():
        rows = network.context[0].reduce.weight
        rows.mul_(10 ** torch.empty(len(rows), 1, 1, 1).uniform_(-1, 1))
    before, after = folded(network), equalised(network, images)
    for name in ("conv3", "conv5_1"):
        read = torch.randn(1, 64, 8, 8)
        outputs = [
            getattr(model.context[0], name)(model.context[0].reduce(read)) for model in (before, after)
        ]
        torch.testing.assert_close(
            outputs[1], outputs[0], atol=1e-4 * outputs[0].abs().max().item(), rtol=1e-3
        )
    assert _noise(after, images) < 0.75 * _noise(before, images)


def _noise(model, images):
    """What rounding to steps of the largest channel's range puts on the outputs of both, up to a constant."""
    ssh = model.context[0]
    weights = torch.cat([block[0].weight.detach() for block in (ssh.conv3, ssh.conv5_1)])
    return (_reached(model, ssh.reduce, images).max() * weights.norm()).item()


def _reached(model, conv, images):
    """The largest value of each channel of a conv's map, (C,)."""
    seen = []
    hook = conv.register_forward_hook(lambda *a: seen.append(a[2].abs().amax((0, 2, 3))))
    with torch.no_grad():
        for batch in images:
            model(torch.from_numpy(batch).flip(1) - torch.tensor(BGR_MEAN).view(1, 3, 1, 1))
    hook.remove()
    return torch.stack(seen).amax(0)
