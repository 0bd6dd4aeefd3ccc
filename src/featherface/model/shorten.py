"""A backbone with fewer blocks up to stride 4, fitted to what those made that it lacks (Romero 2015, section 2.2).

A third of Nano-B's time goes by up to stride 4, where maps are large and hold few channels: a block that is left
out there pays for many channels at stride 16. Everything after stride 4 keeps its weights and sees nearly what it saw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from featherface.errors import ModelError
from featherface.model.backbone import STRIDE8_BLOCKS
from featherface.model.config import ModelConfig
from featherface.model.network import FeatherFace, build

_STEPS = 3000
_BATCH = 16
_WINDOW = 192
_RATE = 1e-2


def is_shorter(config: ModelConfig, than: ModelConfig) -> bool:
    """Whether `config` has fewer blocks in the backbone's first stage; ModelError when it has more."""
    ours, theirs = len(config.backbone_widths[0]), len(than.backbone_widths[0])
    if ours > theirs:
        raise ModelError(
            f"{than.name} cannot become {config.name}: {ours} blocks in the first stage, of {theirs}"
        )
    return ours < theirs


def shorten(source: FeatherFace, config: ModelConfig, pictures: Sequence[Tensor]) -> FeatherFace:
    """`source` with the blocks up to stride 4 that `config` has, fitted to `pictures`; all else is as it was.

    `pictures`: normalised inputs (1, 3, H, W), all of one size. Raises ModelError when the last of those blocks has
    another width.
    """
    target = build(_early_layout(config, source.config)).eval()
    theirs, ours = source.backbone.stage1, target.backbone.stage1
    state = {k: v for k, v in source.state_dict().items() if not k.startswith("backbone.stage1.")}
    target.load_state_dict(state, strict=False)
    for i in range(-STRIDE8_BLOCKS, 0):
        ours[i].load_state_dict(theirs[i].state_dict())
    _fit(ours[:-STRIDE8_BLOCKS], theirs[:-STRIDE8_BLOCKS], torch.cat(list(pictures)))
    return target


def _early_layout(config: ModelConfig, source: ModelConfig) -> ModelConfig:
    """`source`'s layout with `config`'s blocks up to stride 4."""
    early, theirs = config.backbone_widths[0][:-STRIDE8_BLOCKS], source.backbone_widths[0]
    if early[-1] != theirs[-STRIDE8_BLOCKS - 1]:
        raise ModelError(
            f"{source.name} cannot be shortened to {config.name}: {theirs[-STRIDE8_BLOCKS - 1]} channels at stride 4 "
            f"must stay as many, not {early[-1]}"
        )
    widths = ((*early, *theirs[-STRIDE8_BLOCKS:]), *source.backbone_widths[1:])
    return dataclasses.replace(source, backbone_widths=widths)


def _fit(student: nn.Module, teacher: nn.Module, pictures: Tensor) -> None:
    """Teach `student` to make `teacher`'s map, channel by channel as a share of its variance, on random windows."""
    with torch.no_grad():
        taught = teacher(pictures[:4])
        scale = taught.std((0, 2, 3), keepdim=True).clamp(min=1e-3)
    generator = torch.Generator().manual_seed(0)
    student.train()
    optimizer = torch.optim.Adam(student.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    for _ in range(_STEPS):
        batch = _windows(pictures, generator)
        with torch.no_grad():
            taught = teacher(batch)
        loss = ((student(batch) - taught) / scale).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    student.eval()


def _windows(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """A batch of random windows of the pictures, (B, 3, S, S), their corners on the grid of stride 4."""
    side = min(_WINDOW, *pictures.shape[2:])
    spans = torch.tensor(
        [len(pictures), (pictures.shape[2] - side) // 4 + 1, (pictures.shape[3] - side) // 4 + 1]
    )
    places = (torch.rand((_BATCH, 3), generator=generator) * spans).long().tolist()
    return torch.stack([pictures[i, :, 4 * y : 4 * y + side, 4 * x : 4 * x + side] for i, y, x in places])
