"""BiFPN (Tan 2020, section 3) on three levels, as the published checkpoints compute it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.model.config import Downsample

_FUSION_EPS = 1e-4


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Projection(nn.Sequential):
    """1x1 conv with bias to the neck's width, BN."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__(nn.Conv2d(in_channels, width, 1), _norm(width))


class FusionConv(nn.Module):
    """SiLU, depthwise 3x3, pointwise 1x1 with bias, BN."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, width, 1)
        self.bn = _norm(width)

    def forward(self, x: Tensor) -> Tensor:
        fused: Tensor = self.bn(self.pointwise(self.depthwise(F.silu(x))))
        return fused


def normalised_fusion(weights: Tensor) -> Tensor:
    """Fast normalised fusion: ReLU, then divided by their sum."""
    positive = F.relu(weights)
    return positive / (positive.sum() + _FUSION_EPS)


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _down_zero_padded(x: Tensor) -> Tensor:
    """3x3 max-pool, stride 2, one row of zeros below and one column of zeros right."""
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)


def _down_clipped(x: Tensor) -> Tensor:
    """The same windows, cut off at the border."""
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


_DOWN = {"zero_padded": _down_zero_padded, "clipped": _down_clipped}


class BiFPNCell(nn.Module):
    """One top-down and one bottom-up pass. The first cell also projects the backbone's channels.

    The first cell projects P4 and P5 twice, once for each pass. `p5_down_weights` holds three numbers of
    which the two first are used, as published; the third only takes part in their normalisation.
    """

    def __init__(
        self,
        width: int,
        in_channels: tuple[int, int, int] | None = None,
        downsample: Downsample = "zero_padded",
    ) -> None:
        super().__init__()
        self.down = _DOWN[downsample]
        self.project: nn.ModuleDict | None = None
        if in_channels is not None:
            c3, c4, c5 = in_channels
            self.project = nn.ModuleDict(
                {
                    "p3": Projection(c3, width),
                    "p4": Projection(c4, width),
                    "p5": Projection(c5, width),
                    "p4_again": Projection(c4, width),
                    "p5_again": Projection(c5, width),
                }
            )
        self.p4_up_weights = nn.Parameter(torch.ones(2))
        self.p3_up_weights = nn.Parameter(torch.ones(2))
        self.p4_down_weights = nn.Parameter(torch.ones(3))
        self.p5_down_weights = nn.Parameter(torch.ones(3))
        self.p4_up = FusionConv(width)
        self.p3_up = FusionConv(width)
        self.p4_down = FusionConv(width)
        self.p5_down = FusionConv(width)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = maps
        p4_again, p5_again = p4, p5
        if self.project is not None:
            p4_again, p5_again = self.project["p4_again"](p4), self.project["p5_again"](p5)
            p3, p4, p5 = self.project["p3"](p3), self.project["p4"](p4), self.project["p5"](p5)

        w = normalised_fusion(self.p4_up_weights)
        p4_middle = self.p4_up(w[0] * p4 + w[1] * _up(p5))
        w = normalised_fusion(self.p3_up_weights)
        p3_out = self.p3_up(w[0] * p3 + w[1] * _up(p4_middle))
        w = normalised_fusion(self.p4_down_weights)
        p4_out = self.p4_down(w[0] * p4_again + w[1] * p4_middle + w[2] * self.down(p3_out))
        w = normalised_fusion(self.p5_down_weights)
        p5_out = self.p5_down(w[0] * p5_again + w[1] * self.down(p4_out))
        return [p3_out, p4_out, p5_out]


class BiFPN(nn.Module):
    """Several cells in a row. Three maps in, three maps (B, width, H/s, W/s) out."""

    def __init__(
        self, in_channels: tuple[int, int, int], width: int, cells: int, downsample: Downsample
    ) -> None:
        super().__init__()
        self.cells = nn.ModuleList(
            BiFPNCell(width, in_channels if i == 0 else None, downsample) for i in range(cells)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        for cell in self.cells:
            maps = cell(maps)
        return maps
