"""BiFPN in int8: its fusion weights in the convs that make the maps, and all that is summed symmetric."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from featherface.export.fake_quant import QuantConv, Rounding
from featherface.export.fusion import arriving_factors, multiply, usable_factor
from featherface.model.neck import BiFPN, BiFPNCell, FusionConv, normalised_fusion

_REACH = 4.9
_ODD = (2.20512564e-01, -8.95047312e-03, 1.66511956e-04)
"""sigmoid(x) - 0.5 by x, x^3 and x^5 up to +-4.9: fitted so that x * sigmoid(x) is off by 0.026 at most."""


class QuantNeck(nn.Module):
    """Several cells in a row."""

    def __init__(self, neck: BiFPN, cheap_swish: bool) -> None:
        super().__init__()
        cells: list[BiFPNCell] = list(neck.cells)  # type: ignore[arg-type]
        wanted = [*(arriving_factors(cell) for cell in cells), (1.0, 1.0, 1.0)]
        self.cells = nn.ModuleList(
            QuantCell(cell, wanted[i], wanted[i + 1], cheap_swish) for i, cell in enumerate(cells)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        for cell in self.cells:
            maps = cell(maps)
        return maps


class QuantCell(nn.Module):
    """A BiFPN cell; `arriving` and `leaving` are the factors that its maps carry, as in `deploy.DeployedCell`."""

    def __init__(
        self,
        cell: BiFPNCell,
        arriving: tuple[float, float, float],
        leaving: tuple[float, float, float],
        cheap_swish: bool,
    ) -> None:
        super().__init__()
        self.down, self.project = cell.down, None
        to_middle, to_p3, to_p4, to_p5 = (
            normalised_fusion(weights).tolist()
            for weights in (
                cell.p4_up_weights,
                cell.p3_up_weights,
                cell.p4_down_weights,
                cell.p5_down_weights,
            )
        )
        middle = usable_factor(to_p3[1])
        p3, p4, p5 = arriving
        p4_again, p5_again = p4, p5
        if cell.project is not None:
            p4_again, p5_again = usable_factor(to_p4[0]), usable_factor(to_p5[0])
            projections = {}
            for name, factor in zip(cell.project, (p3, p4, p5, p4_again, p5_again), strict=True):
                conv = cell.project[name][0]  # type: ignore[index]
                multiply(conv, factor)
                projections[name] = QuantConv(conv, None, Rounding(signed=True))
            self.project = nn.ModuleDict(projections)
        self.factors = {
            "p4_to_middle": to_middle[0] / p4,
            "p5_to_middle": to_middle[1] / p5,
            "p3_to_p3": to_p3[0] / p3,
            "middle_to_p3": to_p3[1] / middle,
            "p4_to_p4": to_p4[0] / p4_again,
            "middle_to_p4": to_p4[1] / middle,
            "p3_to_p4": to_p4[2] / leaving[0],
            "p5_to_p5": to_p5[0] / p5_again,
            "p4_to_p5": to_p5[1] / leaving[1],
        }
        self.middle = QuantFusion(cell.p4_up, middle, cheap_swish)
        self.p3 = QuantFusion(cell.p3_up, leaving[0], cheap_swish)
        self.p4 = QuantFusion(cell.p4_down, leaving[1], cheap_swish)
        self.p5 = QuantFusion(cell.p5_down, leaving[2], cheap_swish)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = maps
        p4_again, p5_again = p4, p5
        if self.project is not None:
            p4_again, p5_again = self.project["p4_again"](p4), self.project["p5_again"](p5)
            p3, p4, p5 = self.project["p3"](p3), self.project["p4"](p4), self.project["p5"](p5)
        middle = self.middle(self._times(p4, "p4_to_middle") + _up(self._times(p5, "p5_to_middle")))
        p3_out = self.p3(self._times(p3, "p3_to_p3") + _up(self._times(middle, "middle_to_p3")))
        lateral = self._times(p4_again, "p4_to_p4") + self._times(middle, "middle_to_p4")
        p4_out = self.p4(lateral + self._times(self.down(p3_out), "p3_to_p4"))
        p5_out = self.p5(self._times(p5_again, "p5_to_p5") + self._times(self.down(p4_out), "p4_to_p5"))
        return [p3_out, p4_out, p5_out]

    def _times(self, x: Tensor, name: str) -> Tensor:
        factor = self.factors[name]
        return x if factor == 1 else x * factor


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


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
