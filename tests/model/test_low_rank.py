"""Fewer inputs for SSH's wide convs: exact where they suffice, better than leaving any out where they do not."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from small_networks import SMALL, outputs, pictures, source

from featherface.errors import ModelError
from featherface.model import count_parameters
from featherface.model.low_rank import with_low_rank
from featherface.model.transplant import transplant

PLAIN = dataclasses.replace(SMALL, neck_cells=1, neck_attention="none", context="plain")


def test_what_has_so_low_a_rank_stays_as_it_is():
    model = source(PLAIN)
    project = torch.linalg.qr(torch.randn(16, 5, generator=torch.Generator().manual_seed(2)))[0]
    for block in (model.context[0].conv3, model.context[0].conv5_1):
        block[0].weight.data = torch.einsum("oihw,ir,jr->ojhw", block[0].weight.data, project, project)
    smaller = with_low_rank(model, dataclasses.replace(PLAIN, context_inputs=(5, 0, 0)), pictures())
    torch.testing.assert_close(outputs(smaller), outputs(model), rtol=1e-3, atol=1e-4)
    assert count_parameters(smaller) == count_parameters(model) - 9 * 12 * 11 + 16 * 5


def test_what_batch_norm_silences_does_no_harm():
    model = source(PLAIN)
    with torch.no_grad():
        model.context[0].conv3[1].weight[:3] = 0
    smaller = with_low_rank(model, dataclasses.replace(PLAIN, context_inputs=(14, 0, 0)), pictures())
    assert (outputs(smaller) - outputs(model)).norm() < 0.2 * outputs(model).norm()


def test_more_channels_lose_less_and_the_factors_less_than_channels_left_out():
    model = source(PLAIN)
    wanted = outputs(model)
    losses = []
    for rank in (2, 6, 10, 14):
        config = dataclasses.replace(PLAIN, context_inputs=(rank, rank, rank))
        losses.append(float((outputs(with_low_rank(model, config, pictures())) - wanted).norm()))
    assert losses == sorted(losses, reverse=True), losses
    with torch.no_grad():
        for context in model.context:
            for block in (context.conv3, context.conv5_1):
                block[0].weight[:, 10:] = 0
    assert losses[2] < 0.5 * float((outputs(model) - wanted).norm())


def test_surgery_widens_first():
    """And what the new layout has no place for stays behind; fresh, the block on P3 says nothing yet."""
    model = source(PLAIN, refine=True)
    config = dataclasses.replace(
        PLAIN, context_inputs=(12, 0, 0), context_widths=(16, 16, 24), refine=True, refine_p3=False
    )
    network = transplant(model, config, pictures())
    assert network.config == config
    assert (outputs(network) - outputs(model)).norm() < 0.2 * outputs(model).norm()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"context_inputs": (8, 0, 0)}, {"context_inputs": (4, 0, 0)}, id="fewer already"),
        pytest.param({"context_inputs": (8, 0, 0)}, {}, id="back to all"),
        pytest.param(
            {"context": "deformable"}, {"context": "deformable", "context_inputs": (8, 0, 0)}, id="deformable"
        ),
    ],
)
def test_others_are_refused(before, after):
    with pytest.raises(ModelError, match="small cannot become small: context_inputs is"):
        with_low_rank(source(PLAIN, **before), dataclasses.replace(PLAIN, **after), pictures())
