"""Channels brought to one range before quantization: the same function, kinder to one scale per map.

Cross-layer equalization (Nagel 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
section 4.1): ReLU and LeakyReLU let a positive factor through, so that a channel may be divided by one as it leaves
a conv and multiplied by it again in the weights of the next. The factors come from measured activations, balanced
against the next conv's weights as in SmoothQuant (Xiao 2023, eq. 4). MobileNet's first channels differ in range by
two orders of magnitude, and int8 has two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featherface.export.deploy import BGR_MEAN
from featherface.model.backbone import STRIDE8_BLOCKS
from featherface.model.fold import folded
from featherface.model.heads import SSH
from featherface.model.layers import ConvBN, Refinement, SeparableConv, ShuffleBlock
from featherface.model.neck import FusionConv
from featherface.model.network import FeatherFace

_LEAST = 1 / 256
"""No channel is enlarged beyond this: a dead one would become noise."""

_Pair = tuple[nn.Conv2d, tuple[nn.Conv2d, ...]]
"""A conv, and those that read its map."""


def equalised(model: FeatherFace, images: Iterable[NDArray[np.float32]]) -> FeatherFace:
    """A copy with batch norm folded that computes the same, its channels of like range on `images`.

    `images`: inputs (B, 3, H, W), RGB 0-255.
    """
    network = folded(model)
    pairs = list(_pairs(network))
    ranges = _ranges(network, [first for first, _ in pairs], images)
    for (first, readers), reached in zip(pairs, ranges, strict=True):
        _rescale(first, readers, _factors(reached, readers))
    return network


def _pairs(network: FeatherFace) -> Iterator[_Pair]:
    """Convs with all that read them, nothing between but ReLU, LeakyReLU or nothing."""
    backbone = network.backbone
    # `detail` reads stride 4 as well
    early = len(backbone.stage1) - (STRIDE8_BLOCKS if backbone.detail is not None else 0)
    for blocks in (backbone.stage1[:early], backbone.stage1[early:], backbone.stage2, backbone.stage3):
        convs = [conv for block in blocks.children() for conv in _convs(block)]
        yield from ((first, (second,)) for first, second in pairwise(convs))
    for module in network.modules():
        if isinstance(module, Refinement):
            yield first_conv(module.depthwise), (first_conv(module.pointwise),)
        elif isinstance(module, FusionConv):
            yield module.depthwise, (module.pointwise,)
        elif isinstance(module, ShuffleBlock):
            yield first_conv(module.reduce), (first_conv(module.mix),)
            yield first_conv(module.mix), (first_conv(module.expand),)
        elif isinstance(module, SSH):
            yield first_conv(module.conv7_2), (first_conv(module.conv7_3),)
            if isinstance(module.reduce, nn.Conv2d):
                yield module.reduce, (first_conv(module.conv3), first_conv(module.conv5_1))


def _convs(block: nn.Module) -> list[nn.Conv2d]:
    if isinstance(block, SeparableConv):
        return [first_conv(part) for part in block]
    assert isinstance(block, ConvBN)
    return [first_conv(block)]


def first_conv(block: nn.Module) -> nn.Conv2d:
    """The conv that a block begins with."""
    conv = block[0]  # type: ignore[index]
    assert isinstance(conv, nn.Conv2d)
    return conv


def _ranges(
    network: FeatherFace, convs: list[nn.Conv2d], images: Iterable[NDArray[np.float32]]
) -> list[Tensor]:
    """Per conv the largest value of each output channel (C,), before the activation."""
    reached = [torch.zeros(conv.out_channels) for conv in convs]

    def look(place: int) -> object:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            reached[place] = torch.maximum(reached[place], output.abs().amax((0, 2, 3)))

        return hook

    hooks = [conv.register_forward_hook(look(i)) for i, conv in enumerate(convs)]  # type: ignore[arg-type]
    mean = torch.tensor(BGR_MEAN).view(1, 3, 1, 1)
    with torch.inference_mode():
        for batch in images:
            network(torch.from_numpy(batch).flip(1) - mean)
    for hook in hooks:
        hook.remove()
    return reached


def _factors(reached: Tensor, readers: tuple[nn.Conv2d, ...]) -> Tensor:
    """What each channel is divided by."""
    if readers[0].groups > 1:
        factors = reached  # Depthwise: each channel has a weight scale of its own, so the map may be even.
    else:
        # How much of each row's range a channel's weights take: rows have scales of their own.
        rows = torch.cat([reader.weight.detach().abs().flatten(2).amax(2) for reader in readers])
        taken = (rows / rows.amax(1, keepdim=True).clamp(min=1e-12)).amax(0)
        factors = (reached / taken.clamp(min=_LEAST)).sqrt()
    largest = factors.max()
    return (factors / largest).clamp(min=_LEAST) if largest > 0 else torch.ones_like(factors)


def _rescale(first: nn.Conv2d, readers: tuple[nn.Conv2d, ...], factors: Tensor) -> None:
    column = factors.view(-1, 1, 1, 1)
    with torch.no_grad():
        first.weight.div_(column)
        if first.bias is not None:
            first.bias.div_(factors)
        for reader in readers:
            reader.weight.mul_(column if reader.groups > 1 else factors.view(1, -1, 1, 1))
