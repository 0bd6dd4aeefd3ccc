"""From rates per part to a layout with widths as literals."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from featherface.errors import ConfigError
from featherface.model.backbone import STRIDE8_BLOCKS
from featherface.model.config import ModelConfig


@dataclass(frozen=True)
class Rates:
    """Share of the channels that go, per part of the network: 0 keeps all, 0.5 removes half.

    Attention has no rates of its own: its hidden channels follow the map that it stands on.
    """

    stem: float = 0.0
    """The backbone up to stride 4."""
    stage1: float = 0.0
    """The backbone's other layers at stride 8."""
    stage2: float = 0.0
    """The backbone at stride 16."""
    stage3: float = 0.0
    """The backbone at stride 32."""
    neck: float = 0.0
    """BiFPN and the attention after it, one width for all levels."""
    context_p3: float = 0.0
    """SSH, shuffle and head inputs at stride 8. What a 1x1 conv leaves for SSH goes by the neck's rate where that is
    higher."""
    context_p4: float = 0.0
    """The same at stride 16."""
    context_p5: float = 0.0
    """The same at stride 32."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            rate = getattr(self, field.name)
            if not 0 <= rate < 1:
                raise ConfigError(f"rates.{field.name} = {rate}: must be at least 0 and under 1")


PARTS = tuple(field.name for field in dataclasses.fields(Rates))
"""The parts that have a rate."""


def pruned_layout(config: ModelConfig, rates: Rates, name: str, multiple: int = 8) -> ModelConfig:
    """The layout that `rates` leave of `config`, widths rounded to a `multiple` that suits the kernels.

    Raises ConfigError when a part would lose all its channels.
    """
    stage1, stage2, stage3 = config.backbone_widths

    def left(width: int, rate: float, part: str) -> int:
        if rate == 0:
            return width  # also one that is no such multiple
        wanted = int(width * (1 - rate) / multiple + 0.5) * multiple
        if wanted < 1:
            raise ConfigError(
                f"rates.{part} = {rate}: leaves none of {width} channels (multiples of {multiple})"
            )
        return min(width, wanted)

    def stage(widths: tuple[int, ...], rate: float, part: str) -> tuple[int, ...]:
        return tuple(left(width, rate, part) for width in widths)

    p3, p4, p5 = config.level_widths
    contexts = (rates.context_p3, rates.context_p4, rates.context_p5)
    widths: dict[str, Any] = {
        "width": left(config.width, rates.neck, "neck"),
        "backbone_widths": (
            stage(stage1[:-STRIDE8_BLOCKS], rates.stem, "stem")
            + stage(stage1[-STRIDE8_BLOCKS:], rates.stage1, "stage1"),
            stage(stage2, rates.stage2, "stage2"),
            stage(stage3, rates.stage3, "stage3"),
        ),
        "context_widths": (
            left(p3, rates.context_p3, "context_p3"),
            left(p4, rates.context_p4, "context_p4"),
            left(p5, rates.context_p5, "context_p5"),
        ),
        "context_inputs": tuple(
            # never more than what they are made from
            left(inputs, *max((rate, f"context_p{level}"), (rates.neck, "neck"))) if inputs else 0
            for level, inputs, rate in zip((3, 4, 5), config.context_inputs, contexts, strict=True)
        ),
    }
    try:
        return dataclasses.replace(config, name=name, **widths)
    except ConfigError as error:
        pruned = ", ".join(f"{part} = {rate}" for part, rate in vars(rates).items() if rate)
        raise ConfigError(f"rates ({pruned}): what they leave is no network ({error})") from error
