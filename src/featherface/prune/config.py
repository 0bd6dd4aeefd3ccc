"""A pruning recipe: frozen values read from TOML."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featherface.errors import ConfigError
from featherface.prune.layout import Rates


@dataclass(frozen=True)
class PruneConfig:
    """What is pruned, how much, and where the result goes."""

    name: str = "pruned"
    """Names the new layout and the output folder."""
    init: str = ""
    """The weights to prune (.safetensors)."""
    output: str = "runs"
    """Folder of the runs."""
    multiple: int = 8
    """Widths are multiples of this; kernels work in blocks of 8 or 16 channels."""
    max_parameters: int = 0
    """A layout with more is refused; 0 means any."""
    rates: Rates = field(default_factory=Rates)

    def __post_init__(self) -> None:
        if not self.init:
            raise ConfigError("init names no weights to prune")
        if self.multiple < 4 or self.multiple % 4:
            raise ConfigError(f"multiple = {self.multiple}: must be 4, 8, 12, ...")


def load_config(path: str | Path) -> PruneConfig:
    """Read a recipe; ConfigError names the file and the key that is unknown or of the wrong type."""
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        rates = Rates(**_checked(Rates, values.pop("rates", {}), "rates."))
        return PruneConfig(rates=rates, **_checked(PruneConfig, values, ""))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _checked(kind: type, values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ConfigError(f"{where.rstrip('.')} must be a table, not {values!r}")
    defaults = {f.name: f.default for f in dataclasses.fields(kind)}
    for key, value in values.items():
        if key not in defaults:
            raise ConfigError(f"unknown key {where}{key}; there are {', '.join(defaults)}")
        wanted = type(defaults[key])
        if not (type(value) is wanted or (wanted is float and type(value) is int)):
            raise ConfigError(f"{where}{key} = {value!r}: must be {wanted.__name__}")
    return values
