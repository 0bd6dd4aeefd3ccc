"""Batch norm folded into the convolution before it: the same function, fewer numbers, faster steps."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from featherface.model.attention import CoordinateAttention, SharedCoordinateAttention, SpatialGate
from featherface.model.layers import DeformableConv2d
from featherface.model.neck import FusionConv
from featherface.model.network import FeatherFace


def folded(model: FeatherFace) -> FeatherFace:
    """A copy of `model` in eval mode whose batch norms live in the convs; outputs stay the same.

    Folding what is folded already changes nothing.
    """
    copied = copy.deepcopy(model).eval()
    for module in copied.modules():
        if isinstance(module, nn.Sequential):
            _fold_sequential(module)
        elif not isinstance(getattr(module, "bn", None), nn.BatchNorm2d):
            continue
        elif isinstance(module, FusionConv):
            module.pointwise, module.bn = _fold(module.pointwise, module.bn), nn.Identity()  # type: ignore[assignment]
        elif isinstance(module, SpatialGate):
            module.conv, module.bn = _fold(module.conv, module.bn), nn.Identity()  # type: ignore[assignment]
        elif isinstance(module, CoordinateAttention | SharedCoordinateAttention):
            module.shared, module.bn = _fold(module.shared, module.bn), nn.Identity()  # type: ignore[assignment]
    return copied


def has_stand_ins(model: FeatherFace) -> bool:
    """Whether batch norms stand in for folded ones, with means of 0 and variances of 1 in place of statistics.

    `featherface.model.weights.unfolded` writes such networks. Trained with the statistics of batches they would be
    another function at the first step. Fresh norms have no statistics either, but no shift that a conv's bias left.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    return any(_is_stand_in(norm) for norm in norms)


def _is_stand_in(norm: nn.BatchNorm2d) -> bool:
    assert norm.running_mean is not None and norm.running_var is not None
    bare = not norm.running_mean.any() and bool((norm.running_var == 1).all())
    return bare and bool(norm.bias.any())


def _fold_sequential(block: nn.Sequential) -> None:
    for i in range(len(block) - 1):
        first, norm = block[i], block[i + 1]
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        if isinstance(first, nn.Conv2d):
            block[i], block[i + 1] = _fold(first, norm), nn.Identity()
        elif isinstance(first, DeformableConv2d):
            first.regular_conv, block[i + 1] = _fold(first.regular_conv, norm), nn.Identity()


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One conv with bias that computes norm(conv(x)) with the running statistics."""
    scale, shift = affine_of(norm)
    fused = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
    )
    assert fused.bias is not None
    with torch.no_grad():
        fused.weight.copy_(conv.weight * scale[:, None, None, None])
        fused.bias.copy_(shift if conv.bias is None else shift + conv.bias * scale)
    return fused


def affine_of(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Scale and shift (C,) of a batch norm in eval mode."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return scale.detach(), (norm.bias - norm.running_mean * scale).detach()
