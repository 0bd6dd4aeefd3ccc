"""Deformable convolution as one operator, so that runtimes with a kernel for it use that kernel."""

from __future__ import annotations

import copy
from typing import Any

import torch
from onnxscript import opset20
from torch import Tensor, nn

from featherface.model.layers import DeformableConv2d, deform_conv2d


@torch.library.custom_op("featherface::deform_conv2d", mutates_args=())
def _deform_operator(x: Tensor, offsets: Tensor, modulator: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return deform_conv2d(x, offsets, modulator, weight, bias)


@_deform_operator.register_fake
def _(x: Tensor, offsets: Tensor, modulator: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0], x.shape[2], x.shape[3])


def _to_onnx(x: Any, offsets: Any, modulator: Any, weight: Any, bias: Any) -> Any:
    """ONNX DeformConv (opset 19): offsets are (dy, dx) per tap, as ours."""
    return opset20.DeformConv(x, weight, offsets, bias, modulator, kernel_shape=[3, 3], pads=[1, 1, 1, 1])


ONNX_TRANSLATIONS = {torch.ops.featherface.deform_conv2d.default: _to_onnx}


class _OperatorConv(nn.Module):
    """A `DeformableConv2d` that calls the operator."""

    def __init__(self, conv: DeformableConv2d) -> None:
        super().__init__()
        self.conv = conv
        bias = conv.regular_conv.bias
        self.bias = torch.zeros(conv.regular_conv.out_channels) if bias is None else bias.detach().clone()

    def forward(self, x: Tensor) -> Tensor:
        modulator = 2 * torch.sigmoid(self.conv.modulator_conv(x))
        weight = self.conv.regular_conv.weight
        result: Tensor = torch.ops.featherface.deform_conv2d(
            x, self.conv.offset_conv(x), modulator, weight, self.bias
        )
        return result


def with_deform_operator(model: nn.Module) -> nn.Module:
    """A copy of `model` whose deformable convs are one operator each."""
    copied = copy.deepcopy(model)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, DeformableConv2d):
                setattr(module, name, _OperatorConv(child))
    return copied
