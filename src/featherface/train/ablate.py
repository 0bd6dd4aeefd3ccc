"""Arms of an ablation: one network and recipe each, all from the same start with the same budget."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from featherface.errors import ConfigError, ModelError
from featherface.model.attention import CBAM, CoordinateAttention
from featherface.model.config import BackboneAttention, NeckAttention
from featherface.model.gates import attention_places, scale_inputs
from featherface.model.network import FeatherFace, build
from featherface.model.transplant import copy_matching, transplant
from featherface.recipe import load_recipe
from featherface.train.config import TrainConfig

_QUIET_GATE = 0.25
"""What CBAM and Coordinate Attention give for every cell when their last layers are zero: a half times a half."""
_SAME_IN_ALL = (
    "name",
    "output",
    "model",
    "layout",
    "init",
    "seed",
    "arms",
    "start",
    "validation",
    "validation_images",
)


@dataclass(frozen=True)
class Arm:
    """One choice that is compared with others."""

    name: str
    """For tables and folders."""
    backbone: Literal["own", "none", "relu", "cbam"] = "own"
    """Attention on the backbone's maps; `own` is what the recipe's network has."""
    neck: Literal["own", "none", "relu", "cbam", "coordinate"] = "own"
    """Attention on the neck's maps."""
    set: tuple[str, ...] = ()
    """Values of the recipe that differ in this arm, as `--set` takes them: "loss.box=ciou"."""


ATTENTION_ARMS = (
    Arm("none-none", "none", "none"),
    Arm("none-cbam", "none", "cbam"),
    Arm("none-coordinate", "none", "coordinate"),
    Arm("cbam-none", "cbam", "none"),
    Arm("cbam-cbam", "cbam", "cbam"),
    Arm("cbam-coordinate", "cbam", "coordinate"),
)


@dataclass(frozen=True)
class AblationConfig(TrainConfig):
    """A training recipe with the arms that it is run for."""

    arms: tuple[Arm, ...] = ATTENTION_ARMS
    """What is compared; the others' differences are counted from the first."""
    start: Literal["fresh", "same_function", "own"] = "fresh"
    """`fresh`: all of `init` but its attention; `same_function`: attention that begins as the mean gate of
    `init`'s own, so that all arms begin as one and the same function; `own`: all of `init` that fits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [arm.name for arm in self.arms]
        for arm in self.arms:
            if not re.fullmatch(r"[\w.+-]*\w[\w.+-]*", arm.name):
                raise ConfigError(f"arms: {arm.name!r} cannot name a folder: letters, digits, - + . _ only")
            if names.count(arm.name) > 1:
                raise ConfigError(f"arms: two are called {arm.name}")
            if self.start == "same_function" and "none" in (arm.backbone, arm.neck):
                raise ConfigError(
                    f'arms: {arm.name}: start = "same_function" takes "relu" in the place of "none"'
                )
        if not names:
            raise ConfigError("arms must hold at least one")


def load_ablation(
    path: str | Path, overrides: Sequence[str] = ()
) -> tuple[AblationConfig, list[TrainConfig]]:
    """An ablation and the recipe of each of its arms; ConfigError names the file, the arm and the key."""
    ablation = load_recipe(AblationConfig, path, overrides)
    recipes = []
    for arm in ablation.arms:
        for value in arm.set:
            key = value.partition("=")[0].strip()
            if key.split(".")[0] in _SAME_IN_ALL:
                raise ConfigError(f"{path}: arm {arm.name}: {key} must be the same in all arms")
        try:
            recipes.append(plain_recipe(load_recipe(AblationConfig, path, [*overrides, *arm.set])))
        except ConfigError as error:
            raise ConfigError(f"arm {arm.name}: {error}") from error
    return ablation, recipes


def plain_recipe(config: TrainConfig) -> TrainConfig:
    """The recipe without what only an ablation has."""
    return TrainConfig(**{f.name: getattr(config, f.name) for f in dataclasses.fields(TrainConfig)})


def arm_recipe(config: TrainConfig, arm: Arm, seed: int, start: str) -> TrainConfig:
    """The recipe of one training: crops, order and budget depend on the seed alone, not on the arm."""
    return dataclasses.replace(
        config,
        name=f"{config.name}/{arm.name}-seed{seed}",
        model="init",
        layout={},
        init=start,
        seed=seed,
        validation="",
    )


def arm_start(base: FeatherFace, arm: Arm, start: str = "fresh") -> FeatherFace:
    """The start of an arm. For `same_function`, `base` is what `without_attention` gives."""
    layout = dataclasses.replace(
        base.config,
        name=arm.name,
        backbone_attention=base.config.backbone_attention if arm.backbone == "own" else arm.backbone,
        neck_attention=base.config.neck_attention if arm.neck == "own" else arm.neck,
    )
    torch.manual_seed(0)
    network = build(layout).eval()
    kept = base.state_dict().items()
    copy_matching({n: t for n, t in kept if start == "own" or "attention" not in n}, network)
    if start == "same_function":
        for attention, readers in attention_places(network):
            if _silenced(attention):
                scale_inputs(readers, torch.tensor(1 / (1 + _QUIET_GATE)))
    return network


def without_attention(base: FeatherFace, pictures: Sequence[Tensor]) -> FeatherFace:
    """`base` with each attention replaced by its mean gate per channel on `pictures`, which its readers take over.

    What stood as relu(x + attention(x)) is relu(x) in the result. `pictures`: normalised inputs (1, 3, H, W).
    Raises ModelError when there is a place without attention: nothing says what it should begin as.
    """
    kinds: tuple[BackboneAttention, NeckAttention] = (
        base.config.backbone_attention,
        base.config.neck_attention,
    )
    if not set(kinds) <= {"cbam", "coordinate"}:
        raise ModelError(
            f"{base.config.name}: no attention at backbone or neck to begin as ({', '.join(kinds)})"
        )
    layout = dataclasses.replace(base.config, backbone_attention="relu", neck_attention="relu")
    return transplant(base, layout, pictures)


def _silenced(block: nn.Module) -> bool:
    """Zero the last layers of an attention, so that it gates by a constant; False where there is none."""
    attention = getattr(block, "attention", None)
    if isinstance(attention, CBAM):
        last = [attention.channel.mlp[2], attention.spatial.conv]
    elif isinstance(attention, CoordinateAttention):
        last = [attention.conv_h, attention.conv_w]
    else:
        return False
    for layer in last:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return True
