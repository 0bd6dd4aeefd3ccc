"""What a search or a soft run belongs to: all that decides what its figures and choices mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featherface.prune.config import PruneConfig
from featherface.runtimes.card import sha256

_FREE_SEARCH = ("trials", "max_latency")
"""How many trials there are and which of them is chosen changes none."""
_FREE_DATA = ("cache_dir", "cache_gb", "workers")
_TRAIN = ("loss", "distill", "seed", "weight_decay", "clip_norm", "final_div")
"""What the recovery takes from the training recipe; the search's recipe has the rest."""


def search_identity(recipe: PruneConfig, training: Mapping[str, Any]) -> dict[str, Any]:
    """Of the trials of one search; `training` is its training recipe as plain values."""
    search, teacher = dataclasses.asdict(recipe.search), training["distill"]["teacher"]
    return {
        **{f"search.{key}": value for key, value in search.items() if key not in _FREE_SEARCH},
        "init": digest(recipe.init),
        "rates": dataclasses.asdict(recipe.rates),
        "multiple": recipe.multiple,
        "refit": dataclasses.asdict(recipe.refit),
        "train.data": {key: value for key, value in training["data"].items() if key not in _FREE_DATA},
        **{f"train.{key}": training[key] for key in _TRAIN},
        "teacher": digest(teacher) if teacher else "",
    }


def soft_identity(recipe: PruneConfig) -> dict[str, Any]:
    """Of what soft pruning prunes and towards what; its training's recipe is in the checkpoint."""
    rates = dataclasses.asdict(recipe.rates)
    return {
        "init": digest(recipe.init),
        "multiple": recipe.multiple,
        "soft.every": recipe.soft.every,
        **{f"rates.{part}": rate for part, rate in rates.items()},
    }


def digest(file: str | Path) -> str:
    """Tells the contents of two files apart; they may change under one name."""
    return sha256(Path(file))[:16]


def changed(before: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> list[str]:
    """The keys whose values differ. Those that an older version did not keep say nothing."""
    found = []
    for key, old in sorted(before.items()):
        new = now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += changed(old, new, f"{where}{key}.")
        elif old != new:
            found.append(f"{where}{key}")
    return found
