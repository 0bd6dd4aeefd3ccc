"""What a FeatherFace network is made of: one frozen value per variant, written out as literals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from featherface.errors import ConfigError

BackboneAttention = Literal["none", "relu", "cbam"]
NeckAttention = Literal["none", "relu", "cbam", "coordinate"]
HeadAttention = Literal["none", "coordinate_shared"]
Context = Literal["plain", "deformable"]
Shuffle = Literal["none", "channel", "block"]
Downsample = Literal["zero_padded", "clipped"]

CBAM_REDUCTION = 16
"""CBAM's hidden channels are this many times fewer than its map's."""


@dataclass(frozen=True)
class ModelConfig:
    """The layout of one network; validated once, when it is made."""

    name: str
    width: int
    """Channels C of the neck, and of context modules and heads that have none of their own (a multiple of 4)."""
    neck_cells: int
    """How many BiFPN cells follow each other."""
    backbone_attention: BackboneAttention
    """Attention on each of the backbone's three maps, as relu(x + attention(x)); `relu`: without it, relu(x)."""
    neck_attention: NeckAttention
    """Attention on each of the neck's three maps, as relu(x + attention(x)); `relu`: without it, relu(x)."""
    context: Context
    """The 3x3 convolutions of SSH: plain, or deformable with a modulator."""
    shuffle: Shuffle
    """After SSH: nothing, the parameter-free channel shuffle, or the learnable shuffle block."""
    head_attention: HeadAttention = "none"
    """Only the published V2 weights have attention here (one conv shared by both axes, ReLU, no bias)."""
    downsample: Downsample = "zero_padded"
    """The neck's max-pool at the lower and right border: as published against zeros, which costs a copy of
    the map, or over what is there."""
    refine: bool = False
    """Residual separable blocks: stride 4 into P3, at stride 16, and, unless `refine_p3` is off, on P3."""
    refine_p3: bool = True
    """With `refine`, a third such block on P3 before its head."""
    backbone_widths: tuple[tuple[int, ...], ...] = (
        (8, 16, 32, 32, 64, 64),
        (128, 128, 128, 128, 128, 128),
        (256, 256),
    )
    """Output channels of the stem and every separable conv, stage by stage. The last two of the first stage are at
    stride 8, the two before at stride 4, the others at stride 2; of the other stages each halves its map once."""
    context_widths: tuple[int, int, int] | None = None
    """Channels of each level's context module, shuffle and heads (multiples of 4); None: all have `width`."""
    context_inputs: tuple[int, int, int] = (0, 0, 0)
    """Channels that a 1x1 conv leaves of each level's map for the two wide 3x3 convs of its context module (low rank,
    Zhang 2016, "Accelerating Very Deep Convolutional Networks", section 3); 0: they read the map as it is."""
    strides: tuple[int, ...] = (8, 16, 32)
    prior_sizes: tuple[tuple[int, ...], ...] = ((16, 32), (64, 128), (256, 512))
    """Sides of the square priors of each level, in pixels."""
    variances: tuple[float, float] = (0.1, 0.2)
    """Scale of the centre (and landmark) deltas, and of the log-size deltas."""

    def __post_init__(self) -> None:
        if self.width < 8 or self.width % 4:
            raise ConfigError(f"model {self.name}: width {self.width} must be a multiple of 4, at least 8")
        if any(w < 8 or w % 4 for w in self.level_widths):
            raise ConfigError(
                f"model {self.name}: context_widths {self.level_widths} must be multiples of 4, at least 8"
            )
        if any(not 0 <= inputs <= self.width for inputs in self.context_inputs):
            raise ConfigError(
                f"model {self.name}: context_inputs {self.context_inputs} must each be 0, or at most the width, "
                f"{self.width}"
            )
        if self.neck_cells < 1:
            raise ConfigError(f"model {self.name}: neck_cells must be at least 1, not {self.neck_cells}")
        if len(self.backbone_widths) != 3 or len(self.backbone_widths[0]) < 5:
            raise ConfigError(f"model {self.name}: backbone_widths must hold three stages, the first from 5")
        if any(w < 1 for stage in self.backbone_widths for w in stage):
            raise ConfigError(f"model {self.name}: backbone_widths must all be over 0")
        least = CBAM_REDUCTION if self.backbone_attention == "cbam" else 1
        if any(stage[-1] < least for stage in self.backbone_widths):
            raise ConfigError(f"model {self.name}: a stage under CBAM ends in at least {least} channels")
        if not len(self.strides) == len(self.prior_sizes) == 3:
            raise ConfigError(f"model {self.name}: strides and prior_sizes must each name three levels")
        if len({len(sizes) for sizes in self.prior_sizes}) != 1:
            raise ConfigError(f"model {self.name}: every level needs the same number of prior sizes")

    @property
    def level_widths(self) -> tuple[int, int, int]:
        """Channels of each level from its context module to its heads."""
        return self.context_widths or (self.width, self.width, self.width)

    @property
    def priors_per_cell(self) -> int:
        """Priors on each cell of a level's grid."""
        return len(self.prior_sizes[0])


PRESETS: dict[str, ModelConfig] = {
    # The paper's V1 (Electronics 2025, 14(3), 517): 488,664 parameters. The teacher and the baseline.
    "v1": ModelConfig(
        name="v1",
        width=52,
        neck_cells=3,
        backbone_attention="cbam",
        neck_attention="cbam",
        context="deformable",
        shuffle="channel",
    ),
    # V2: Coordinate Attention after the neck, no deformable conv, P3's wide convs of low rank: 494,542 parameters.
    "v2": ModelConfig(
        name="v2",
        width=64,
        neck_cells=3,
        backbone_attention="cbam",
        neck_attention="coordinate",
        context="plain",
        shuffle="block",
        downsample="clipped",
        refine=True,
        refine_p3=False,
        backbone_widths=((8, 16, 32, 32, 64, 64), (128, 128, 128, 128, 128, 128), (304, 256)),
        context_inputs=(32, 0, 0),
    ),
    # V2 after `featherface prune configs/nano_b.toml` (161,988 parameters), widened at stride 32, where time is cheap,
    # and made leaner at stride 8, as V2 was: 172,780 parameters, 0.35 of V2's.
    "nano_b": ModelConfig(
        name="nano_b",
        width=32,
        neck_cells=3,
        backbone_attention="cbam",
        neck_attention="coordinate",
        context="plain",
        shuffle="block",
        downsample="clipped",
        refine=True,
        refine_p3=False,
        backbone_widths=((8, 16, 32, 32, 64, 64), (64, 64, 64, 64, 64, 64), (192, 160)),
        context_widths=(32, 32, 48),
        context_inputs=(16, 0, 0),
    ),
}


def preset(name: str) -> ModelConfig:
    """The preset of that name; ConfigError names the ones there are."""
    if name not in PRESETS:
        raise ConfigError(f"no model preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
