"""Deformable convolution under the name that converters look for, torchvision's, without torchvision.

pnnx and OpenVINO know the operator `torchvision::deform_conv2d` (pnnx: inside the module
`torchvision.ops.deform_conv.DeformConv2d`); they read the name in the traced graph and never run it.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from featherface.model.layers import DeformableConv2d, deform_conv2d

_SCHEMA = (
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, "
    "SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, "
    "SymInt offset_groups, bool use_mask) -> Tensor"
)


def with_torchvision_op(network: nn.Module) -> nn.Module:
    """A copy whose deformable convs call torchvision's operator; without any, the network itself."""
    if not any(isinstance(module, DeformableConv2d) for module in network.modules()):
        return network
    _define()
    return _replaced(network, _Sampled)


def with_scripted_op(network: nn.Module) -> nn.Module:
    """A copy whose deformable convs are plain torch operators of any size (a trace would keep one size)."""
    return _replaced(network, _Scripted)


class DeformConv2d(nn.Module):
    """What pnnx matches by its qualified name: offsets and modulator come as inputs."""

    __module__ = "torchvision.ops.deform_conv"

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = conv.weight
        zeros = torch.zeros(conv.out_channels)
        self.bias = nn.Parameter(zeros, requires_grad=False) if conv.bias is None else conv.bias

    def forward(self, input: Tensor, offset: Tensor, mask: Tensor) -> Tensor:
        operator = torch.ops.torchvision.deform_conv2d
        result: Tensor = operator(input, self.weight, offset, mask, self.bias, 1, 1, 1, 1, 1, 1, 1, 1, True)
        return result


class _Sampled(nn.Module):
    def __init__(self, conv: DeformableConv2d) -> None:
        super().__init__()
        self.offset_conv, self.modulator_conv = conv.offset_conv, conv.modulator_conv
        self.deform = DeformConv2d(conv.regular_conv)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.deform(x, self.offset_conv(x), 2 * torch.sigmoid(self.modulator_conv(x)))
        return result


class _Scripted(nn.Module):
    def __init__(self, conv: DeformableConv2d) -> None:
        super().__init__()
        self.conv = conv
        self.operator = torch.jit.script(deform_conv2d)

    def forward(self, x: Tensor) -> Tensor:
        modulator = 2 * torch.sigmoid(self.conv.modulator_conv(x))
        regular = self.conv.regular_conv
        result: Tensor = self.operator(x, self.conv.offset_conv(x), modulator, regular.weight, regular.bias)
        return result


def _replaced(network: nn.Module, kind: type[nn.Module]) -> nn.Module:
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, DeformableConv2d):
                setattr(module, name, kind(child))
    return copied


def _define() -> None:
    """Register the operator, unless torchvision (or an earlier call) has done so."""
    if hasattr(torch.ops.torchvision, "deform_conv2d"):
        return
    global _LIBRARY  # registrations live as long as their library object
    _LIBRARY = library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define(_SCHEMA)  # type: ignore[no-untyped-call]
    library.impl("deform_conv2d", _compute, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]


def _compute(x: Tensor, weight: Tensor, offset: Tensor, mask: Tensor, bias: Tensor, *_: Any) -> Tensor:
    return deform_conv2d(x, offset, mask, weight, bias)


_LIBRARY: torch.library.Library | None = None
