"""BiFPN in int8: its fusion weights in the convs that make the maps, and all that is summed symmetric."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from featherface.export.fake_quant import QuantConv, Rounding
from featherface.export.fusion import Factors, FusedCell, Times, fused_cells, multiply
from featherface.model.neck import BiFPN, BiFPNCell, FusionConv

_REACH = 4.9
_ODD = (2.20512564e-01, -8.95047312e-03, 1.66511956e-04)
"""sigmoid(x) - 0.5 by x, x^3 and x^5 up to +-4.9: fitted so that x * sigmoid(x) is off by 0.026 at most."""


class QuantNeck(nn.Module):
    """Several cells in a row."""

    def __init__(self, neck: BiFPN, cheap_swish: bool) -> None:
        super().__init__()
        self.cells = fused_cells(neck.cells, partial(_cell, cheap_swish=cheap_swish))  # type: ignore[arg-type]

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        for cell in self.cells:
            maps = cell(maps)
        return maps


def _cell(cell: BiFPNCell, arriving: Factors, leaving: Factors, cheap_swish: bool) -> FusedCell:
    first = cell.project is not None

    def fusion(block: FusionConv, factor: float) -> QuantFusion:
        # The projections' convs make these sums themselves, and end in SiLU where it is written as such.
        within_conv = first and block in (cell.p4_up, cell.p3_up)
        return QuantFusion(block, factor, cheap_swish and not within_conv)

    return FusedCell(
        cell,
        arriving,
        leaving,
        projection=lambda block: QuantConv(block[0], None, Rounding(signed=True)),  # type: ignore[index]
        scale=Times,
        fusion=fusion,
    )


class QuantFusion(nn.Module):
    """SiLU, depthwise 3x3, pointwise 1x1 times `factor`."""

    def __init__(self, fusion: FusionConv, factor: float, cheap_swish: bool) -> None:
        super().__init__()
        multiply(fusion.pointwise, factor)
        self.swish = _cheap_swish if cheap_swish else F.silu
        self.active = Rounding()
        self.depthwise = QuantConv(fusion.depthwise, None, Rounding())
        self.pointwise = QuantConv(fusion.pointwise, None, Rounding(signed=True, border=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(self.active(self.swish(x))))  # type: ignore[no-any-return]


def _cheap_swish(x: Tensor) -> Tensor:
    near = x.clamp(-_REACH, _REACH)
    square = near * near
    first, third, fifth = _ODD
    return x * (near * (square * (square * fifth + third) + first) + 0.5)
