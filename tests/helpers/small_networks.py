"""A small network that has seen something, its inputs and outputs: what weight surgery is tried on."""

from __future__ import annotations

import dataclasses

import torch

from featherface.model import ModelConfig, build

SMALL = ModelConfig(
    name="small",
    width=16,
    neck_cells=2,
    backbone_attention="none",
    neck_attention="cbam",
    context="deformable",
    shuffle="block",
    backbone_widths=((4, 8, 8, 8, 16, 16), (16, 16), (16, 16)),
)


def pictures(count=4):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(1, 3, 64, 64, generator=generator) * 40 for _ in range(count)]


def source(base=SMALL, **changes):
    """A network whose batch norms have seen something, so that nothing is trivially zero."""
    torch.manual_seed(0)
    model = build(dataclasses.replace(base, **changes))
    for picture in pictures(6):
        model.train()(picture)
    return model.eval()


def outputs(model):
    with torch.no_grad():
        return torch.cat([part.flatten() for part in model(pictures(1)[0])])
