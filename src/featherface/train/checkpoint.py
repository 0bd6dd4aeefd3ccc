"""A run's state on disk: whole or not there, and enough to go on as if nothing had happened."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from featherface.atomic import atomic_path
from featherface.errors import TrainingError, reason_of
from featherface.recipe import completed
from featherface.train.config import TrainConfig, to_dict

CHECKPOINT = "checkpoint.pt"
"""What a run's state is called in its folder."""
RECIPE = "recipe.txt"
"""What the recipe is kept as, from the run's first moment on."""

# What may differ between a run and its resumption. Not the validation: the best so far is the best on that.
_FREE = {"output", "threads", "checkpoint_minutes", "validate_minutes"}
_FREE_DATA = {"cache_dir", "cache_gb", "workers"}


def check_folder(config: TrainConfig, resume: bool) -> None:
    """TrainingError when there is nothing to resume, or when a new run would write over an older one's state."""
    folder = Path(config.output) / config.name
    checkpoint = folder / CHECKPOINT
    if resume and not checkpoint.is_file() and not (folder / RECIPE).is_file():
        raise TrainingError(f"{checkpoint}: no checkpoint to resume from")
    if not resume and checkpoint.exists():
        raise TrainingError(
            f"{checkpoint}: a run of this name is there; --resume goes on with it, another name begins another"
        )


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    seconds: float = 0.0
    """Time spent in steps, over all resumptions."""
    best_hard: float = -1.0
    bf16: bool | None = None
    """Whether it computes in bf16; None until that is known."""
    distilled: bool | None = None
    """Whether it has a teacher; None until that is known."""
    data: str | None = None
    """What the crops are made of (`CropDataset.digest`); None until that is known."""


def save(
    path: Path,
    config: TrainConfig,
    progress: Progress,
    model: nn.Module,
    average: nn.Module,
    optimizer: Optimizer,
) -> None:
    """Write everything a resumption needs."""
    state = {
        "config": json.dumps(_fixed(config), sort_keys=True),
        "progress": vars(progress),
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # on the disk before it takes the place of the last one


def tidy(path: Path) -> None:
    """Remove what a process that was killed while it saved to `path` left behind. For whoever holds the folder."""
    for left in path.parent.glob(f".{path.stem}.*{path.suffix}"):
        left.unlink(missing_ok=True)


def restore(
    path: Path, config: TrainConfig, model: nn.Module, average: nn.Module, optimizer: Optimizer
) -> Progress:
    """Load what `save` wrote; TrainingError when there is none, or it belongs to another recipe."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no checkpoint to resume from") from error
    except OSError as error:
        raise TrainingError(f"{path}: {reason_of(error)}") from error
    except Exception as error:  # what the unpickler stumbles over says nothing to whoever reads it
        raise TrainingError(f"{path}: not a readable checkpoint") from error
    before, now = json.loads(state["config"]), json.loads(json.dumps(_fixed(config)))
    before = completed(before, json.loads(json.dumps(_fixed(TrainConfig()))))
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if changed:
        raise TrainingError(f"{path}: belongs to another recipe; {', '.join(changed)} changed")
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    return Progress(**state["progress"])


def _fixed(config: TrainConfig) -> dict[str, Any]:
    values = {key: value for key, value in to_dict(config).items() if key not in _FREE}
    values["data"] = {key: value for key, value in values["data"].items() if key not in _FREE_DATA}
    return values
