"""How long a pruned network takes beside the original."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from featherface.runtime import OnnxSession

_WARM_UP = 2


def latency_ratio(ours: OnnxSession, original: OnnxSession, side: int, repeats: int) -> float:
    """Median over runs in turn of our time by the original's: what else the machine does hits both."""
    images = np.random.default_rng(0).uniform(0, 255, (1, 3, side, side)).astype(np.float32)
    ratios = []
    for _ in range(_WARM_UP + repeats):
        theirs = _seconds(lambda: original.run(images))
        ratios.append(_seconds(lambda: ours.run(images)) / theirs)
    return float(np.median(ratios[_WARM_UP:]))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
