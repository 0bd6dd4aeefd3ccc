"""A student whose maps are to hold what its teacher's hold (Romero 2015, section 2.2), whatever their widths."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from featherface.model.network import FeatherFace
from featherface.train.distributed import mean_over_processes

_FACES = 0.5
_RIDGE = 1e-3


@contextlib.contextmanager
def captured(model: nn.Module) -> Iterator[list[Tensor]]:
    """The maps (B, C, H/s, W/s) that the heads of a network read in its next forward pass, in order of stride.

    `model` may be wrapped for several processes.
    """
    network = getattr(model, "module", model)
    assert isinstance(network, FeatherFace)
    maps: list[Tensor] = []
    hooks = [head.register_forward_pre_hook(lambda _, read: maps.append(read[0])) for head in network.heads]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def imitation_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], scores: Tensor) -> Tensor:
    """How much of the teacher's maps no linear function of the student's explains, 0 to 1, mean over the levels.

    Of several processes each gets its part: their mean is the loss.

    Maps are (B, C, H, W) of the same places, the channels as many as each has; `scores` (B, P) is what the teacher
    gives the priors, cells in row-major order with all of a cell's priors next to each other. The linear function
    stands for the layer between hint and guided layer that Romero trains: it is solved anew for each batch, by least
    squares over all cells with a little ridge, so that it has no state of its own, and has no gradient: over all cells
    it is the best one there. What is left counts half over all cells, half where the teacher sees faces: a plain mean
    drowns in background, while a layer solved for the few cells of faces would explain anything there.
    """
    losses, first = [], 0
    cells = sum(each[0, 0].numel() for each in teacher)
    per_cell = scores.shape[1] // cells
    for ours, theirs in zip(student, teacher, strict=True):
        own = theirs[0, 0].numel() * per_cell
        level = scores[:, first : first + own].reshape(-1, per_cell).amax(1)
        first += own
        count = float(mean_over_processes(torch.tensor(float(len(level)))))
        losses.append(_unexplained(_rows(ours), _rows(theirs), _weights(level, count), count))
    return torch.stack(losses).mean()


def _rows(maps: Tensor) -> Tensor:
    """(B, C, H, W) to (B * H * W, C)."""
    return maps.float().permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _weights(scores: Tensor, count: float) -> Tensor:
    """(N, 1), of mean sum 1 over the processes: half everywhere, half as the scores lie, where there are any.

    `count` is how many cells a process has, in the mean.
    """
    mass = float(mean_over_processes(scores.sum().cpu()))
    share = _FACES if mass > 0 else 0.0
    weights = (1 - share) / count + share * scores / max(mass, 1e-6)
    return weights[:, None]


def _unexplained(ours: Tensor, theirs: Tensor, weights: Tensor, count: float) -> Tensor:
    """The weighted share of the variance of `theirs` (N, T) that is left after regression on `ours` (N, S).

    Of several processes each has its cells, `count` in the mean; the linear function is that of all of them.
    """
    x = ours - mean_over_processes(ours.detach().sum(0)) / count
    y = theirs - mean_over_processes(theirs.sum(0)) / count
    with torch.no_grad():
        products = mean_over_processes(x.T @ x)
        ridge = _RIDGE * products.diagonal().mean().clamp(min=1e-12)
        seen = mean_over_processes(x.T @ y)
        solved = torch.linalg.solve(products + ridge * torch.eye(len(products), device=x.device), seen)
        variance = mean_over_processes((weights * y.square()).sum()).clamp(min=1e-12)
    left: Tensor = (weights * (y - x @ solved).square()).sum() / variance
    return left
