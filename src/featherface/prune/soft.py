"""Soft filter pruning (He 2018) by geometric median (He 2019): zeroed after every so many steps, free to recover."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from featherface.model.config import ModelConfig
from featherface.model.network import FeatherFace
from featherface.prune.surgery import doomed, makers


class SoftPruning:
    """Called after each training step; every `every` steps it zeroes the filters that `target` has no room for.

    Which these are is decided anew each time, so that a filter that has become important again stays. Raises
    ConfigError when `target` is not the network's layout with fewer channels.
    """

    def __init__(self, target: ModelConfig, every: int) -> None:
        self.target, self.every = target, every

    def __call__(self, model: FeatherFace, steps: int) -> None:
        """`steps` is how many the network has had."""
        if steps % self.every == 0:
            for name, channels in makers(model, doomed(model, self.target)):
                silence(model.get_submodule(name), channels)


def silence(module: nn.Module, channels: list[int]) -> None:
    """Make these channels zero in a way that gradients can undo.

    A depthwise conv or a batch norm only hands on the zeros of the conv before it: were its weights zero too,
    neither would ever get a gradient again. Channels whose sum goes straight into a plain ReLU get none either way.
    """
    hands_on = isinstance(module, nn.BatchNorm2d) or (isinstance(module, nn.Conv2d) and module.groups > 1)
    with torch.no_grad():
        for value in (None if hands_on else module.weight, module.bias):
            if isinstance(value, Tensor):
                value[channels] = 0
