"""The fixed grid of prior boxes that every delta is relative to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def prior_boxes(
    height: int, width: int, strides: Sequence[int], prior_sizes: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Priors (P, 4) as centre and size in pixels, for an input of `height` x `width`. Read-only, cached.

    Levels in the given order, row-major cells, then the cell's sizes; a cell's centre is (x + 0.5) * stride.
    """
    return _prior_boxes(height, width, tuple(strides), tuple(tuple(sizes) for sizes in prior_sizes))


@lru_cache(maxsize=32)
def _prior_boxes(
    height: int, width: int, strides: tuple[int, ...], prior_sizes: tuple[tuple[int, ...], ...]
) -> NDArray[np.float32]:
    levels = []
    for stride, sizes in zip(strides, prior_sizes, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)
        level = np.empty((rows, columns, len(sizes), 4), np.float32)
        level[..., 0] = ((np.arange(columns) + 0.5) * stride)[None, :, None]
        level[..., 1] = ((np.arange(rows) + 0.5) * stride)[:, None, None]
        level[..., 2:] = np.asarray(sizes, np.float32)[None, None, :, None]
        levels.append(level.reshape(-1, 4))
    priors = np.concatenate(levels)
    priors.flags.writeable = False
    return priors
