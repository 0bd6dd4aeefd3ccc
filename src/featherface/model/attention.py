"""CBAM and Coordinate Attention: gates laid over a map. All keep the shape (B, C, H, W)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.model.config import CBAM_REDUCTION


class ChannelGate(nn.Module):
    """CBAM's channel half: one MLP over the average- and the max-pooled map (Woo 2018, section 3)."""

    def __init__(self, channels: int, reduction: int = CBAM_REDUCTION) -> None:
        super().__init__()
        hidden = channels // reduction
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3))))
        return x * gate[:, :, None, None]


class SpatialGate(nn.Module):
    """CBAM's spatial half: a 7x7 conv over the channel-wise (max, mean), in that order."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.bn(self.conv(pooled)))


class CBAM(nn.Module):
    """Convolutional Block Attention Module (Woo 2018): channel gate, then spatial gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = ChannelGate(channels)
        self.spatial = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = self.spatial(self.channel(x))
        return gated


class CoordinateAttention(nn.Module):
    """Coordinate Attention (Hou 2021, section 3.2): gates along each axis, so that *where* is kept.

    Pool along each axis, concatenate, a shared 1x1 to max(8, C // reduction) channels with BN and h-swish,
    split, one 1x1 + sigmoid per axis; the output is x * a_h * a_w.
    """

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.shared = nn.Conv2d(channels, hidden, 1)
        self.bn = nn.BatchNorm2d(hidden)
        self.act = nn.Hardswish()
        self.conv_h = nn.Conv2d(hidden, channels, 1)
        self.conv_w = nn.Conv2d(hidden, channels, 1)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The vertical gate a_h (B, C, H, 1) and the horizontal gate a_w (B, C, 1, W), each in (0, 1)."""
        height, width = x.shape[2:]
        along_h = x.mean(3, keepdim=True)
        along_w = x.mean(2, keepdim=True).transpose(2, 3)
        mixed = self.act(self.bn(self.shared(torch.cat((along_h, along_w), dim=2))))
        part_h, part_w = mixed.split([height, width], dim=2)
        a_h = torch.sigmoid(self.conv_h(part_h))
        a_w = torch.sigmoid(self.conv_w(part_w.transpose(2, 3)))
        return a_h, a_w

    def forward(self, x: Tensor) -> Tensor:
        a_h, a_w = self.gates(x)
        return x * a_h * a_w


class SharedCoordinateAttention(nn.Module):
    """The published V2 weights' variant: the shared conv meets each axis alone, ReLU, no biases."""

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.shared = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn = nn.BatchNorm2d(hidden)
        self.conv_h = nn.Conv2d(hidden, channels, 1, bias=False)
        self.conv_w = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a_h = F.relu(self.bn(self.shared(x.mean(3, keepdim=True))))
        a_w = F.relu(self.bn(self.shared(x.mean(2, keepdim=True))))
        return x * torch.sigmoid(self.conv_h(a_h)) * torch.sigmoid(self.conv_w(a_w))


class ResidualAttention(nn.Module):
    """How attention stands in this network: relu(x + attention(x))."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.attention(x))
