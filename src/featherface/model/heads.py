"""SSH context modules (Najibi 2017, section 3.2) and the 1x1 prediction heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.model.config import Context
from featherface.model.layers import ConvBN, DeformableConv2d, activation


def _conv(context: Context, in_channels: int, out_channels: int, act: bool) -> nn.Sequential:
    if context == "plain":
        return ConvBN(in_channels, out_channels, act=act)
    conv = DeformableConv2d(in_channels, out_channels)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), *([activation()] if act else []))


class SSH(nn.Module):
    """Receptive fields of 3, 5 and 7 from stacked 3x3 convs, concatenated (C/2 + C/4 + C/4), ReLU.

    With `inputs` a 1x1 conv leaves that many channels for the two that read the map.
    """

    def __init__(self, in_channels: int, channels: int, context: Context, inputs: int = 0) -> None:
        super().__init__()
        quarter = channels // 4
        self.reduce = nn.Conv2d(in_channels, inputs, 1, bias=False) if inputs else nn.Identity()
        in_channels = inputs or in_channels
        self.conv3 = _conv(context, in_channels, channels // 2, act=False)
        self.conv5_1 = _conv(context, in_channels, quarter, act=True)
        self.conv5_2 = _conv(context, quarter, quarter, act=False)
        self.conv7_2 = _conv(context, quarter, quarter, act=True)
        self.conv7_3 = _conv(context, quarter, quarter, act=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        shared = self.conv5_1(x)
        parts = (self.conv3(x), self.conv5_2(shared), self.conv7_3(self.conv7_2(shared)))
        return F.relu(torch.cat(parts, dim=1))


class Head(nn.Module):
    """One level's 1x1 convs: class logits (background, face), box deltas, landmark deltas per prior."""

    def __init__(self, channels: int, priors_per_cell: int) -> None:
        super().__init__()
        self.classes = nn.Conv2d(channels, priors_per_cell * 2, 1)
        self.boxes = nn.Conv2d(channels, priors_per_cell * 4, 1)
        self.landmarks = nn.Conv2d(channels, priors_per_cell * 10, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (
            _per_prior(self.classes(x), 2),
            _per_prior(self.boxes(x), 4),
            _per_prior(self.landmarks(x), 10),
        )


def _per_prior(x: Tensor, values: int) -> Tensor:
    """(B, K * values, H, W) -> (B, H * W * K, values): row-major cells, then the cell's priors."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, values)
