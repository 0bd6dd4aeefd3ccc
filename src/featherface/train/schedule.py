"""One-cycle learning rate and the moving average of the weights."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from featherface.train.config import TrainConfig

_START_DIV = 25.0
_WARM = 10

_Tensors = tuple[Tensor, ...] | list[Tensor]


def one_cycle(progress: float, config: TrainConfig) -> float:
    """The rate at `progress` in [0, 1] of the stage: cosine up to max_lr, cosine down (Smith 2018)."""
    start = config.max_lr / _START_DIV
    end = start / config.final_div
    progress = min(max(progress, 0.0), 1.0)
    if progress < config.warmup:
        return _cosine(start, config.max_lr, progress / config.warmup)
    return _cosine(config.max_lr, end, (progress - config.warmup) / (1 - config.warmup))


def _cosine(first: float, last: float, part: float) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * part)) / 2


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of weights and running statistics.

    It begins with shorter memory, so that nothing of the start stays in it: a hundredth of a fresh batch norm's
    variance, 1, would be many times what small activations have.
    """

    def update(averages: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        now = min(decay, (1 + int(count)) / (_WARM + int(count)))
        get_ema_multi_avg_fn(now)(averages, current, count)  # type: ignore[no-untyped-call]

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
