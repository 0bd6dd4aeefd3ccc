"""Depthwise convolutions of stride 2 whose backward pass in bf16 is quick on a processor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight


class StridedDepthwise(nn.Conv2d):
    """A 3x3 depthwise conv of stride 2 and padding 1: the same function, weights and names as before.

    oneDNN's bf16 kernel for the gradient of the input is quick at stride 1 only: at stride 2 five such layers took
    half of all convs' backward pass. The gradient is the same as at stride 1 with zeros between.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H/2, W/2), both sides even."""
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        dtype = torch.get_autocast_dtype("cpu")
        bias = None if self.bias is None else self.bias.to(dtype)
        y: Tensor = _Strided.apply(x.to(dtype), self.weight.to(dtype), bias)  # type: ignore[no-untyped-call]
        return y


def quicken(network: nn.Module) -> None:
    """Make every depthwise conv of stride 2 in `network` a `StridedDepthwise` with the same weights, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _fits(module):
            module.__class__ = StridedDepthwise


def _fits(conv: nn.Conv2d) -> bool:
    shape = (conv.kernel_size, conv.stride, conv.padding, conv.dilation)
    return shape == ((3, 3), (2, 2), (1, 1), (1, 1)) and conv.groups == conv.in_channels == conv.out_channels


class _Strided(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, stride=2, padding=1, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_input = of_weight = of_bias = None
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        if ctx.needs_input_grad[0]:
            spread = torch.zeros_like(x)
            spread[:, :, ::2, ::2] = gradient
            of_input = F.conv2d(spread, weight.flip(2, 3), padding=1, groups=len(weight))
        if ctx.needs_input_grad[1]:
            of_weight = conv2d_weight(  # type: ignore[no-untyped-call]
                x, weight.shape, gradient, stride=2, padding=1, groups=len(weight)
            )
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_input, of_weight, of_bias
