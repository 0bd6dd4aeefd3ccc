"""The FeatherFace network, top-down: backbone, attention, neck, attention, context, shuffle, heads."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from featherface.model.attention import (
    CBAM,
    CoordinateAttention,
    ResidualAttention,
    SharedCoordinateAttention,
)
from featherface.model.backbone import MobileNetV1
from featherface.model.config import ModelConfig
from featherface.model.heads import SSH, Head
from featherface.model.layers import ChannelShuffle, Refinement, ShuffleBlock
from featherface.model.neck import BiFPN

_ATTENTION = {"cbam": CBAM, "coordinate": CoordinateAttention}
_SHUFFLE = {"none": lambda _: nn.Identity(), "channel": lambda _: ChannelShuffle(), "block": ShuffleBlock}


class Predictions(NamedTuple):
    """Raw outputs for all P priors: levels in order of stride, row-major cells, then the cell's sizes."""

    class_logits: Tensor
    """(B, P, 2): background, face."""
    box_deltas: Tensor
    """(B, P, 4): centre and log-size, scaled by the variances."""
    landmark_deltas: Tensor
    """(B, P, 10): five points (x, y) relative to the prior's centre and size."""


class FeatherFace(nn.Module):
    """A face detector. Input (B, 3, H, W) float, **BGR minus (104, 117, 123)**, H and W multiples of 32.

    `forward` returns raw `Predictions`; decoding lives in `featherface.boxes`, so that torch, every runtime
    and the evaluator share it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.backbone = MobileNetV1(config.backbone_widths, config.refine)
        channels = self.backbone.out_channels
        self.backbone_attention = _attention_per_level(config.backbone_attention, channels)
        self.neck = BiFPN(channels, width, config.neck_cells, config.downsample)
        self.neck_attention = _attention_per_level(config.neck_attention, (width, width, width))
        levels = config.level_widths
        self.context = nn.ModuleList(
            SSH(width, w, config.context, inputs)
            for w, inputs in zip(levels, config.context_inputs, strict=True)
        )
        self.head_attention = nn.ModuleList(
            SharedCoordinateAttention(w) if config.head_attention != "none" else nn.Identity() for w in levels
        )
        self.shuffle = nn.ModuleList(_SHUFFLE[config.shuffle](w) for w in levels)
        self.refine_p3 = Refinement(levels[0], levels[0]) if config.refine and config.refine_p3 else None
        self.heads = nn.ModuleList(Head(w, config.priors_per_cell) for w in levels)

    def forward(self, images: Tensor) -> Predictions:
        maps = self.features(images)
        logits, boxes, landmarks = zip(*(h(x) for h, x in zip(self.heads, maps, strict=True)), strict=True)
        return Predictions(torch.cat(logits, 1), torch.cat(boxes, 1), torch.cat(landmarks, 1))

    def features(self, images: Tensor) -> list[Tensor]:
        """The three maps (B, C, H/s, W/s) that the heads read."""
        maps = each(self.backbone_attention, self.backbone(images))
        maps = each(self.neck_attention, self.neck(maps))
        maps = each(self.context, maps)
        maps = each(self.shuffle, each(self.head_attention, maps))
        if self.refine_p3 is not None:
            maps[0] = maps[0] + self.refine_p3(maps[0])
        return maps


def build(config: ModelConfig) -> FeatherFace:
    """A network with fresh weights."""
    return FeatherFace(config)


def count_parameters(model: nn.Module) -> int:
    """Learnable numbers (batch norm's running statistics are not among them)."""
    return sum(p.numel() for p in model.parameters())


def each(modules: nn.ModuleList, maps: list[Tensor]) -> list[Tensor]:
    """Each map through the module of its level."""
    return [module(x) for module, x in zip(modules, maps, strict=True)]


def _attention_per_level(kind: str, channels: tuple[int, int, int]) -> nn.ModuleList:
    if kind == "none":
        return nn.ModuleList(nn.Identity() for _ in channels)
    if kind == "relu":
        return nn.ModuleList(nn.ReLU() for _ in channels)
    return nn.ModuleList(ResidualAttention(_ATTENTION[kind](c)) for c in channels)
