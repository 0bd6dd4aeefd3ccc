"""BiFPN with its fusion weights as constants, as far as may be in the convs that make the maps before a sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.model.neck import BiFPN, BiFPNCell, FusionConv, normalised_fusion

_SMALLEST_FACTOR = 1e-3
Factors = tuple[float, float, float]
"""What P3, P4 and P5 are multiplied by already."""


class FusedCell(nn.Module):
    """A BiFPN cell whose maps come with the factors `arriving` and leave with the factors `leaving`.

    How a runtime wants the parts is up to the caller: `projection` takes a conv block whose conv has its factor
    already, `scale` makes the multiplication that is left on a map (by 1 is none), `fusion` puts its factor in itself.
    """

    def __init__(
        self,
        cell: BiFPNCell,
        arriving: Factors,
        leaving: Factors,
        *,
        projection: Callable[[nn.Module], nn.Module],
        scale: Callable[[float], nn.Module],
        fusion: Callable[[FusionConv, float], nn.Module],
    ) -> None:
        super().__init__()
        self.down, self.project = cell.down, None
        weights = (cell.p4_up_weights, cell.p3_up_weights, cell.p4_down_weights, cell.p5_down_weights)
        to_middle, to_p3, to_p4, to_p5 = (normalised_fusion(w).tolist() for w in weights)
        middle = _usable(to_p3[1])
        p3, p4, p5 = arriving
        p4_again, p5_again = p4, p5
        if cell.project is not None:
            p4_again, p5_again = _usable(to_p4[0]), _usable(to_p5[0])
            for block, factor in zip(cell.project.values(), (p3, p4, p5, p4_again, p5_again), strict=True):
                multiply(block[0], factor)  # type: ignore[index]
            self.project = nn.ModuleDict({name: projection(block) for name, block in cell.project.items()})

        def edge(wanted: float, carried: float) -> nn.Module:
            return nn.Identity() if wanted == carried else scale(wanted / carried)

        self.p4_to_middle, self.p5_to_middle = edge(to_middle[0], p4), edge(to_middle[1], p5)
        self.p3_to_p3, self.middle_to_p3 = edge(to_p3[0], p3), edge(to_p3[1], middle)
        self.p4_to_p4, self.middle_to_p4 = edge(to_p4[0], p4_again), edge(to_p4[1], middle)
        self.p3_to_p4 = edge(to_p4[2], leaving[0])
        self.p5_to_p5, self.p4_to_p5 = edge(to_p5[0], p5_again), edge(to_p5[1], leaving[1])
        self.middle = fusion(cell.p4_up, middle)
        self.p3 = fusion(cell.p3_up, leaving[0])
        self.p4 = fusion(cell.p4_down, leaving[1])
        self.p5 = fusion(cell.p5_down, leaving[2])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        p3, p4, p5 = maps
        p4_again, p5_again = p4, p5
        if self.project is not None:
            p4_again, p5_again = self.project["p4_again"](p4), self.project["p5_again"](p5)
            p3, p4, p5 = self.project["p3"](p3), self.project["p4"](p4), self.project["p5"](p5)
        middle = self.middle(self.p4_to_middle(p4) + _up(self.p5_to_middle(p5)))
        p3_out = self.p3(self.p3_to_p3(p3) + _up(self.middle_to_p3(middle)))
        lateral = self.p4_to_p4(p4_again) + self.middle_to_p4(middle)
        p4_out = self.p4(lateral + self.p3_to_p4(self.down(p3_out)))
        p5_out = self.p5(self.p5_to_p5(p5_again) + self.p4_to_p5(self.down(p4_out)))
        return [p3_out, p4_out, p5_out]


class Times(nn.Module):
    """A map times a constant."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def fused_cells(
    cells: Iterable[BiFPNCell], make: Callable[[BiFPNCell, Factors, Factors], nn.Module]
) -> nn.ModuleList:
    """Every cell leaves its maps with the factors that the next one's first use of them wants."""
    cells = list(cells)
    wanted = [*(_arriving(cell) for cell in cells), (1.0, 1.0, 1.0)]
    return nn.ModuleList(make(cell, wanted[i], wanted[i + 1]) for i, cell in enumerate(cells))


def fuse(network: nn.Module) -> None:
    """Every BiFPN below `network`, batch norm folded, with constants for its fusion weights, in place."""
    for module in network.modules():
        if isinstance(module, BiFPN):
            module.cells = fused_cells(module.cells, _plain_cell)  # type: ignore[arg-type]


def multiply(conv: nn.Conv2d, factor: float) -> None:
    """The conv's output times `factor`, in place."""
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.mul_(factor)
        conv.bias.mul_(factor)


def _plain_cell(cell: BiFPNCell, arriving: Factors, leaving: Factors) -> FusedCell:
    def fusion(block: FusionConv, factor: float) -> nn.Module:
        multiply(block.pointwise, factor)
        return block

    return FusedCell(cell, arriving, leaving, projection=lambda block: block, scale=Times, fusion=fusion)


def _arriving(cell: BiFPNCell) -> Factors:
    to_p3, to_middle = normalised_fusion(cell.p3_up_weights), normalised_fusion(cell.p4_up_weights)
    return _usable(to_p3[0].item()), _usable(to_middle[0].item()), _usable(to_middle[1].item())


def _usable(weight: float) -> float:
    """What a map may carry: its fusion weight, unless that is too small to be divided by again."""
    return weight if weight > _SMALLEST_FACTOR else 1.0


def _up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
