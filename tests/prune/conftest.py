"""A network to prune."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from featherface.model import build, preset


@pytest.fixture(scope="session")
def model():
    """V2 with every kind of block that there is."""
    widths = (*preset("v2").backbone_widths[:2], (256, 256))
    return disordered(
        dataclasses.replace(preset("v2"), refine_p3=True, context_inputs=(0, 0, 0), backbone_widths=widths)
    )


@pytest.fixture(scope="session")
def with_fewer_inputs():
    return disordered(dataclasses.replace(preset("v2"), refine_p3=True, context_inputs=(32, 0, 16)))


def disordered(config):
    """A network with weights and statistics of no particular order, refinement blocks included."""
    torch.manual_seed(0)
    network = build(config)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith(("running_var", "bn.weight", "1.weight")):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")):
                value.uniform_(-0.2, 0.2)
    return network.eval()
