"""The small building blocks shared by backbone, neck and context modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAKY_SLOPE = 0.1


def activation() -> nn.Module:
    """The backbone's LeakyReLU, slope 0.1, also used inside SSH."""
    return nn.LeakyReLU(LEAKY_SLOPE, inplace=True)


class ConvBN(nn.Sequential):
    """A 3x3 (or given) conv without bias, batch norm and, when asked, an activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(conv, nn.BatchNorm2d(out_channels), *([activation()] if act else []))


class SeparableConv(nn.Sequential):
    """MobileNetV1's pair: depthwise 3x3 + BN + act, then pointwise 1x1 + BN + act (Howard 2017)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            ConvBN(in_channels, in_channels, stride=stride, groups=in_channels),
            ConvBN(in_channels, out_channels, kernel=1),
        )


class Refinement(nn.Module):
    """A separable conv that starts as zero, to be added to a map: what was learned before stays as it was."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = ConvBN(in_channels, in_channels, stride=stride, groups=in_channels)
        self.pointwise = ConvBN(in_channels, out_channels, kernel=1, act=False)
        norm = self.pointwise[1]
        assert isinstance(norm, nn.BatchNorm2d)
        nn.init.zeros_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        refined: Tensor = self.pointwise(self.depthwise(x))
        return refined


def channel_shuffle(x: Tensor) -> Tensor:
    """View C as (C/2, 2) and swap (Zhang 2018, as published)."""
    batch, channels, height, width = x.shape
    if channels > 1 and x.is_contiguous(memory_format=torch.channels_last):
        # The layout of training: through the other one, this map and all gradients below it would be copied.
        last = x.permute(0, 2, 3, 1).reshape(batch, height, width, channels // 2, 2)
        return last.transpose(3, 4).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
    pairs = x.reshape(batch, channels // 2, 2, height, width)
    return pairs.transpose(1, 2).reshape(batch, channels, height, width)


class ChannelShuffle(nn.Module):
    """The parameter-free shuffle as a module. (B, C, H, W) -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        return channel_shuffle(x)


class ShuffleBlock(nn.Module):
    """The learnable shuffle: shuffle, 1x1 C->C/2, depthwise 3x3, 1x1 C/2->C, each with BN; ReLU at the end."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvBN(channels, half, kernel=1, act=False)
        self.mix = ConvBN(half, half, groups=half, act=False)
        self.expand = ConvBN(half, channels, kernel=1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.expand(self.mix(self.reduce(channel_shuffle(x)))))


def deform_conv2d(
    x: Tensor, offsets: Tensor, modulator: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Modulated deformable 3x3 conv, stride 1, padding 1 (Zhu 2019, "Deformable ConvNets v2", eq. 1).

    `x` (B, C, H, W); `offsets` (B, 18, H, W), for each of the nine taps (dy, dx) in pixels; `modulator`
    (B, 9, H, W); `weight` (O, C, 3, 3); `bias` (O,). Samples are bilinear, zero outside. Written
    with torch's own ops, so that it trains on every device without a compiled extension.
    """
    batch, channels, height, width = x.shape
    taps = offsets.reshape(batch, 9, 2, height, width)
    rows = torch.arange(height, device=x.device, dtype=x.dtype).view(1, 1, height, 1)
    columns = torch.arange(width, device=x.device, dtype=x.dtype).view(1, 1, 1, width)
    step = torch.arange(9, device=x.device)
    y = rows + (step // 3 - 1).to(x.dtype).view(1, 9, 1, 1) + taps[:, :, 0]
    x_ = columns + (step % 3 - 1).to(x.dtype).view(1, 9, 1, 1) + taps[:, :, 1]
    grid = torch.stack((2 * x_ / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1), dim=-1)
    samples = F.grid_sample(x, grid.reshape(batch, 9 * height, width, 2), align_corners=True)
    columns_of_samples = samples.reshape(batch, channels, 9, height, width) * modulator.unsqueeze(1)
    flat = columns_of_samples.reshape(batch, channels * 9, height, width)
    return F.conv2d(flat, weight.reshape(weight.shape[0], channels * 9, 1, 1), bias)


class DeformableConv2d(nn.Module):
    """A deformable 3x3 conv with its own offset and modulator convs; the modulator is 2 x sigmoid."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.offset_conv = nn.Conv2d(in_channels, 18, 3, padding=1)
        self.modulator_conv = nn.Conv2d(in_channels, 9, 3, padding=1)
        self.regular_conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        for conv in (self.offset_conv, self.modulator_conv):
            nn.init.zeros_(conv.weight)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        offsets = self.offset_conv(x)
        modulator = 2 * torch.sigmoid(self.modulator_conv(x))
        return deform_conv2d(x, offsets, modulator, self.regular_conv.weight, self.regular_conv.bias)
