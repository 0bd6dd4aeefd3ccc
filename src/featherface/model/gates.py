"""What attention lets through on average, and convs that take it over where attention is left out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from featherface.model.layers import DeformableConv2d
from featherface.model.network import FeatherFace
from featherface.model.observe import mean_of


def mean_gates(
    model: FeatherFace, attentions: Sequence[nn.Module], pictures: Sequence[Tensor]
) -> list[Tensor]:
    """Of each attention, how much of its map (B, C, H, W) it lets through on average, channel by channel: (C,)."""

    def share(x: Tensor, gated: Tensor) -> Tensor:
        return gated.abs().sum((0, 2, 3)) / x.abs().sum((0, 2, 3)).clamp(min=1e-6)

    return mean_of(model, attentions, pictures, share)


def take_over_gates(source: FeatherFace, target: FeatherFace, pictures: Sequence[Tensor]) -> None:
    """Let `target`, which holds `source`'s weights, do without the attention at backbone and neck that it has not.

    relu(x + attention(x)) is relu(x) there, or x: the convs that read it multiply their input channels by 1 + the
    mean gate on `pictures`, normalised inputs (1, 3, H, W). Where they read fewer channels, they hold no weights of
    the source's and stay as they are.
    """
    gone = [
        (block, readers)
        for (block, before), (ours, readers) in zip(
            attention_places(source), attention_places(target), strict=True
        )
        if hasattr(block, "attention")
        and not hasattr(ours, "attention")
        and _inputs(before[0]) == _inputs(readers[0])
    ]
    if gone:
        gates = mean_gates(source, [block.get_submodule("attention") for block, _ in gone], pictures)
        for (_, readers), gate in zip(gone, gates, strict=True):
            scale_inputs(readers, 1 + gate)


def _inputs(reader: nn.Module) -> int:
    """Channels that a plain or deformable conv reads."""
    return next(m.in_channels for m in reader.modules() if isinstance(m, nn.Conv2d))


def attention_places(network: FeatherFace) -> list[tuple[nn.Module, list[nn.Module]]]:
    """Each attention, from the backbone's first to the neck's last, and the convs that read its map."""
    cell = "neck.cells.0.project"
    readers = [[f"{cell}.p3.0"], *([f"{cell}.{p}.0", f"{cell}.{p}_again.0"] for p in ("p4", "p5"))]
    readers += [
        [f"context.{level}.reduce"] if inputs else [f"context.{level}.conv3.0", f"context.{level}.conv5_1.0"]
        for level, inputs in enumerate(network.config.context_inputs)
    ]
    attentions = [*network.backbone_attention, *network.neck_attention]
    return [
        (block, [network.get_submodule(name) for name in names])
        for block, names in zip(attentions, readers, strict=True)
    ]


def scale_inputs(readers: Sequence[nn.Module], scale: Tensor) -> None:
    """Let convs read their input channels multiplied by `scale` (C,) or ()."""
    for reader in readers:
        convs = [m for m in reader.modules() if isinstance(m, nn.Conv2d)]
        assert isinstance(reader, nn.Conv2d | DeformableConv2d)
        with torch.no_grad():
            for conv in convs:
                conv.weight.mul_(scale.reshape(1, -1, 1, 1))
