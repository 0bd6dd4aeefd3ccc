"""A pruning recipe: frozen values read from TOML."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featherface.errors import ConfigError
from featherface.prune.layout import PARTS, Rates
from featherface.recipe import load_recipe


@dataclass(frozen=True)
class SearchConfig:
    """How good rates are looked for; no trials, no search."""

    trials: int = 0
    """Layouts to measure, over all resumptions."""
    seed: int = 0
    """Decides the rates that are tried first."""
    parts: tuple[str, ...] = tuple(part for part in PARTS if part != "stem")
    """The parts whose rates are searched; the others keep theirs of [rates]. V2's stem, as narrow as 8 channels, has
    little to lose: at the highest rate nothing would be left of it."""
    lowest: float = 0.0
    """The smallest rate tried."""
    highest: float = 0.75
    """The largest rate tried."""
    rate_step: float = 0.125
    """Rates are tried in steps of this."""
    holdout: int = 60
    """Pictures of the first training source, evenly spread, that AP is measured on and no crop is taken from."""
    protocol: str = "vga"
    """How these are evaluated (see `featherface evaluate`)."""
    steps: int = 40
    """Training steps in which a pruned network recovers before it is measured."""
    batch_size: int = 8
    """Crops a step of the recovery."""
    max_lr: float = 3e-4
    """Peak rate of the recovery. What a whole training bears wrecks a network within so few steps."""
    warmup: float = 0.3
    """Share of the recovery's steps in which the rate rises."""
    crop_size: int = 256
    """Side of the recovery's crops, in pixels."""
    input_size: int = 640
    """Side of the square picture that latency is measured on, in pixels."""
    repeats: int = 20
    """Pairs of timed runs, the original and the pruned network in turn."""
    max_latency: float = 1.0
    """Among the trials with at most this share of the original's time the one of highest AP is chosen."""

    def __post_init__(self) -> None:
        counts = ("holdout", "steps", "batch_size", "repeats")
        checks = [
            (self.trials >= 0, "trials must be at least 0"),
            *((getattr(self, name) >= 1, f"{name} must be at least 1") for name in counts),
            (
                len(self.parts) > 0 and all(part in PARTS for part in self.parts),
                f"parts must be of {', '.join(PARTS)}",
            ),
            # Optuna's generators take 32 bits, and the seed grows by a search's trials.
            (0 <= self.seed < 2**31, "seed must be from 0 to 2147483647"),
            (0 < self.max_lr < math.inf and 0 < self.warmup < 1, "max_lr: over 0, warmup: between 0 and 1"),
            (self.crop_size >= 64 and self.crop_size % 32 == 0, "crop_size: a multiple of 32, at least 64"),
            (0 <= self.lowest < self.highest < 1, "lowest and highest: 0 <= lowest < highest < 1"),
            (0 < self.rate_step <= self.highest - self.lowest, "rate_step must fit between the two"),
            (self.max_latency > 0, "max_latency must be over 0"),
            (self.input_size >= 32 and self.input_size % 32 == 0, "input_size: a multiple of 32"),
        ]
        for holds, message in checks:
            if not holds:
                raise ConfigError(f"search: {message}")


def some_search(rates: Rates) -> SearchConfig:
    """One that a network bears which bears these rates; the default one's highest may be too much for it."""
    pruned = {part: rate for part in PARTS if (rate := getattr(rates, part))} or {"stage3": 0.5}
    highest = min(pruned.values())
    return SearchConfig(parts=tuple(pruned), highest=highest, rate_step=highest)


@dataclass(frozen=True)
class SoftConfig:
    """Soft pruning before the removal; no steps, none."""

    steps: int = 0
    """Training steps with soft pruning."""
    every: int = 50
    """The least important filters are zeroed after this many steps; in between they may recover."""

    def __post_init__(self) -> None:
        if self.steps < 0 or self.every < 1:
            raise ConfigError("soft: steps must be at least 0 and every at least 1")


@dataclass(frozen=True)
class RefitConfig:
    """Least squares after the removal (see `refit`); no pictures, none."""

    pictures: int = 0
    """Training crops that the pruned network is fitted on; two dozen are enough."""
    crop_size: int = 320
    """Side of these crops, in pixels; a multiple of 32."""

    def __post_init__(self) -> None:
        if self.pictures < 0:
            raise ConfigError("refit: pictures must be at least 0")
        if self.crop_size < 32 or self.crop_size % 32:
            raise ConfigError("refit: crop_size must be a multiple of 32")


@dataclass(frozen=True)
class PruneConfig:
    """What is pruned, how much, and where the result goes."""

    name: str = "pruned"
    """Names the new layout and the output folder."""
    init: str = ""
    """The weights to prune (.safetensors); no published .pth is of a layout that can be."""
    output: str = "runs"
    """Folder of the runs."""
    multiple: int = 8
    """Widths are multiples of this; kernels work in blocks of 8 or 16 channels."""
    max_parameters: int = 0
    """A layout with more is refused; 0 means any."""
    train: str = ""
    """The training recipe whose data, losses and teacher search, soft pruning and refit use."""
    rates: Rates = field(default_factory=Rates)
    search: SearchConfig = field(default_factory=SearchConfig)
    soft: SoftConfig = field(default_factory=SoftConfig)
    refit: RefitConfig = field(default_factory=RefitConfig)

    def __post_init__(self) -> None:
        if (self.search.trials or self.soft.steps or self.refit.pictures) and not self.train:
            raise ConfigError("train names no training recipe; search, soft pruning and refit need one")
        if not self.init:
            raise ConfigError("init names no weights to prune")
        if not self.name.strip("./") or "/" in self.name:
            raise ConfigError(f"name = {self.name!r}: names the new layout and its folder, so a word")
        if self.max_parameters < 0:
            raise ConfigError(f"max_parameters = {self.max_parameters}: must be at least 0")
        if self.multiple < 4 or self.multiple % 4:
            raise ConfigError(f"multiple = {self.multiple}: must be 4, 8, 12, ...")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> PruneConfig:
    """Read a pruning recipe (see `featherface.recipe`); ConfigError names the file and the key."""
    return load_recipe(PruneConfig, path, overrides)


def to_toml(config: PruneConfig) -> str:
    """TOML that `load_config` reads as the same recipe; tables left as they are by default are not in it."""
    top, tables = "", ""
    for entry in dataclasses.fields(config):
        value = getattr(config, entry.name)
        if not isinstance(value, Rates | SearchConfig | SoftConfig | RefitConfig):
            top += f"{entry.name} = {_toml(value)}\n"
        elif value != type(value)() or isinstance(value, Rates):
            lines = (f"{key} = {_toml(item)}\n" for key, item in vars(value).items())
            tables += f"\n[{entry.name}]\n" + "".join(lines)
    return top + tables


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # A JSON string is one of TOML, but for the one control character that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
