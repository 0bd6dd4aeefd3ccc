"""Arms of an ablation: the same network with another attention, from the same start with the same budget."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import torch

from featherface.model.config import BackboneAttention
from featherface.model.network import FeatherFace, build
from featherface.model.transplant import copy_matching
from featherface.train.config import TrainConfig


@dataclass(frozen=True)
class Arm:
    """One choice of attention."""

    backbone: BackboneAttention
    neck: Literal["none", "cbam", "coordinate"]

    @property
    def name(self) -> str:
        """For tables and folders."""
        return f"{self.backbone}-{self.neck}"


ARMS = (
    Arm("none", "none"),
    Arm("none", "cbam"),
    Arm("none", "coordinate"),
    Arm("cbam", "none"),
    Arm("cbam", "cbam"),
    Arm("cbam", "coordinate"),
)


def arm_start(base: FeatherFace, arm: Arm) -> FeatherFace:
    """The start of an arm: all of `base` but its attention, which is fresh in every arm, the base's own too."""
    layout = dataclasses.replace(
        base.config, name=arm.name, backbone_attention=arm.backbone, neck_attention=arm.neck
    )
    torch.manual_seed(0)
    network = build(layout)
    shared = {name: tensor for name, tensor in base.state_dict().items() if "attention" not in name}
    copy_matching(shared, network)
    return network


def arm_recipe(config: TrainConfig, arm: Arm, seed: int, start: str) -> TrainConfig:
    """The recipe of one training: crops, order and budget depend on the seed alone, not on the arm."""
    return dataclasses.replace(
        config,
        name=f"{config.name}/{arm.name}-seed{seed}",
        model="init",
        init=start,
        seed=seed,
        validation="",
    )
