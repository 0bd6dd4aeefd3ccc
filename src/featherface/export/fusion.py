"""BiFPN's fusion weights as constants that the convs before a sum carry."""

from __future__ import annotations

import torch
from torch import nn

from featherface.model.neck import BiFPNCell, normalised_fusion

_SMALLEST_FACTOR = 1e-3


def usable_factor(weight: float) -> float:
    """What a map may carry: its fusion weight, unless that is too small to be divided by again."""
    return weight if weight > _SMALLEST_FACTOR else 1.0


def arriving_factors(cell: BiFPNCell) -> tuple[float, float, float]:
    """The factors that a cell's first use of P3, P4 and P5 wants them to carry already."""
    to_p3, to_middle = normalised_fusion(cell.p3_up_weights), normalised_fusion(cell.p4_up_weights)
    return tuple(usable_factor(w.item()) for w in (to_p3[0], to_middle[0], to_middle[1]))  # type: ignore[return-value]


def multiply(conv: nn.Conv2d, factor: float) -> None:
    """The conv's output times `factor`, in place."""
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.mul_(factor)
        conv.bias.mul_(factor)
