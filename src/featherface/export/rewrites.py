"""Rewrites that every format gets: the same function with less to do, or in operators that all converters know."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.model.layers import ChannelShuffle, ShuffleBlock, channel_shuffle
from featherface.model.network import FeatherFace


def replace(parent: nn.Module, kind: type[nn.Module], rewritten: type[nn.Module]) -> None:
    """Every module of exactly this kind below `parent` gives way to `rewritten(module)`."""
    for name, child in parent.named_children():
        if type(child) is kind:
            setattr(parent, name, rewritten(child))
        else:
            replace(child, kind, rewritten)


def fold_shuffles(network: FeatherFace) -> None:
    """Put every channel shuffle into the weights of the 1x1 convs that read its map, in place.

    Written out it is a reshape over five axes: a tenth of OpenVINO's time, and three quarters of ncnn's, which
    leaves its blocked layout for it.
    """
    replace(network, ShuffleBlock, FoldedShuffleBlock)
    if network.refine_p3 is not None:  # It reads the shuffled map as well.
        return
    for level, (shuffle, head) in enumerate(zip(network.shuffle, network.heads, strict=True)):
        if isinstance(shuffle, ChannelShuffle):
            network.shuffle[level] = nn.Identity()
            for conv in (head.classes, head.boxes, head.landmarks):
                _fold_shuffle(conv)  # type: ignore[arg-type]


def class_difference(conv: nn.Conv2d) -> nn.Conv2d:
    """From (background, face) logits per prior to their difference, whose sigmoid is the softmax."""
    assert conv.bias is not None
    fused = nn.Conv2d(conv.in_channels, conv.out_channels // 2, 1)
    assert fused.bias is not None
    with torch.no_grad():
        fused.weight.copy_(conv.weight[1::2] - conv.weight[0::2])
        fused.bias.copy_(conv.bias[1::2] - conv.bias[0::2])
    return fused


class FoldedShuffleBlock(nn.Module):
    """The shuffle block with the shuffle itself in the weights of the conv that follows it."""

    def __init__(self, block: ShuffleBlock) -> None:
        super().__init__()
        self.convs = nn.Sequential(block.reduce, block.mix, block.expand)
        _fold_shuffle(block.reduce[0])  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.convs(x))


def _fold_shuffle(conv: nn.Conv2d) -> None:
    order = channel_shuffle(torch.arange(conv.in_channels).view(1, -1, 1, 1)).flatten()
    with torch.no_grad():
        weight = conv.weight.clone()
        conv.weight[:, order] = weight
