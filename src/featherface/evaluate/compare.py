"""Several detectors on the same pictures in the same run: AP, size, and latency in turns on one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from featherface.detections import Detections
from featherface.evaluate.chance import Difference, differences
from featherface.evaluate.run import EvaluationSet, each_picture, to_predictions
from featherface.evaluate.wider import Matches, match_all, result_of
from featherface.images import Image, read_image, resize

_BLOCK = 3
"""Runs of one detector before the next has its turn: a slow moment of the machine then hits all alike."""
_WARM_UP = 3
EVALUATED, FOUND = 0.02, 0.5
"""Lowest scores: for AP, as protocol `original` has it, and for timing, as `featherface detect` runs."""


@dataclass(frozen=True)
class Candidate:
    """A detector to compare. Its functions must be safe to call from several threads, one-threaded themselves."""

    name: str
    detect: Callable[[Image, float], Detections]
    """A picture (H, W, 3) RGB in memory, and EVALUATED or FOUND, to its faces of that score and more."""
    prepare: Callable[[Image], Callable[[], object]]
    """A picture to a function that runs the network alone on it, made ready beforehand."""
    file: Path
    parameters: int | None = None
    multiply_adds: int | None = None
    """At 640x640."""


@dataclass(frozen=True)
class Spread:
    """Milliseconds: median and quartiles."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """One detector's figures."""

    name: str
    ap: dict[str, float]
    """By subset; NaN where no face counts."""
    parameters: int | None
    multiply_adds: int | None
    file_bytes: int
    network_ms: Spread
    whole_ms: Spread
    """From the picture in memory to its faces of score FOUND and more."""
    against_first: dict[str, Difference] = field(default_factory=dict)
    """AP less that of the first detector, by subset; empty for that one itself."""


def compare(
    candidates: Sequence[Candidate],
    pictures: EvaluationSet,
    photo: Image,
    repeats: int,
    progress: Callable[[], None] = lambda: None,
) -> list[Compared]:
    """AP of every candidate on `pictures` (`progress` after each), and its latency on `photo`."""
    network = time_in_turns([c.prepare(photo) for c in candidates], repeats)
    whole = time_in_turns([_bound(c, photo) for c in candidates], repeats)
    met = [_meet(c, pictures, progress) for c in candidates]
    aps = [result_of(matches, pictures.truths).curves for matches in met]
    against = [{}, *(differences(matches, met[0], pictures.truths) for matches in met[1:])]
    return [
        Compared(
            c.name,
            {subset: curve.known_ap for subset, curve in ap.items()},
            c.parameters,
            c.multiply_adds,
            c.file.stat().st_size,
            n,
            w,
            less,
        )
        for c, ap, n, w, less in zip(candidates, aps, network, whole, against, strict=True)
    ]


def _meet(candidate: Candidate, pictures: EvaluationSet, progress: Callable[[], None]) -> list[Matches]:
    """How what a candidate finds at the pictures' original size meets their faces."""

    def look(path: Path) -> Detections:
        return candidate.detect(read_image(path), EVALUATED)

    found = each_picture(look, pictures.paths, progress=progress)
    return match_all(to_predictions(found, pictures.truths), pictures.truths)


def time_in_turns(functions: Sequence[Callable[[], object]], repeats: int) -> list[Spread]:
    """Milliseconds of each function over `repeats` runs, a few of each in turn."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        for _ in range(_WARM_UP):
            function()
    for done in range(0, repeats, _BLOCK):
        for function, taken in zip(functions, times, strict=True):
            for _ in range(min(_BLOCK, repeats - done)):
                start = time.perf_counter()
                function()
                taken.append(1e3 * (time.perf_counter() - start))
    return [_spread(taken) for taken in times]


def square(path: Path, side: int = 640) -> Image:
    """A picture resized and cut to `side` x `side`, for latency."""
    image = read_image(path)
    factor = side / min(image.shape[:2])
    height, width = (max(side, round(length * factor)) for length in image.shape[:2])
    return np.ascontiguousarray(resize(image, width, height)[:side, :side])


def _bound(candidate: Candidate, photo: Image) -> Callable[[], object]:
    return lambda: candidate.detect(photo, FOUND)


def _spread(values: list[float]) -> Spread:
    low, median, high = statistics.quantiles(values, n=4)
    return Spread(median, low, high)
