"""What a labelled set holds and what is wrong with it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from featherface.annotations.types import Annotation
from featherface.errors import ImageError
from featherface.images import read_image

SIZES = (0, 8, 16, 32, 64, 128, 256, 512)
"""Bounds of the size classes, in pixels: the square root of a box's area."""

_SLACK = 2.0
_FEW = 3


@dataclass(frozen=True)
class SetReport:
    """Counts of a labelled set, and one line for each thing that is wrong with it."""

    pictures: int
    without_faces: int
    faces: int
    ignored: int
    with_landmarks: int
    sides: NDArray[np.float32]
    """(faces,): square roots of the areas of the faces that are not ignored, in pixels."""
    problems: tuple[str, ...]

    def by_size(self) -> list[tuple[str, int]]:
        """How many faces each size class holds."""
        bounds = [*SIZES, np.inf]
        counts = np.histogram(self.sides, bounds)[0]
        names = [f"{low}-{high}" for low, high in pairwise(SIZES)] + [f"over {SIZES[-1]}"]
        return [(name, int(count)) for name, count in zip(names, counts, strict=True)]

    def lines(self) -> list[str]:
        """The counts as text."""
        total = max(len(self.sides), 1)
        median = f"{np.median(self.sides):.0f} px" if len(self.sides) else "-"
        return [
            f"pictures        {self.pictures:9,}   without faces {self.without_faces:,}",
            f"faces           {self.faces:9,}   with landmarks {self.with_landmarks:,}, median size {median}",
            f"ignored         {self.ignored:9,}",
            *(f"{name:>10} px   {count:9,}   {count / total:6.1%}" for name, count in self.by_size()),
        ]


def check_set(annotations: Sequence[Annotation], advance: Callable[[], None]) -> SetReport:
    """Read every picture of a set, on all cores, and count; `advance` is called once a picture."""
    problems = [
        f"{path}: labelled {n} times" for path, n in Counter(a.path for a in annotations).items() if n > 1
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(_problems_of, annotations):
            problems += found
            advance()
    kept = [a.boxes[~a.ignored] for a in annotations]
    boxes = np.concatenate(kept) if kept else np.zeros((0, 4), np.float32)
    return SetReport(
        pictures=len(annotations),
        without_faces=sum(len(b) == 0 for b in kept),
        faces=len(boxes),
        ignored=sum(int(a.ignored.sum()) for a in annotations),
        with_landmarks=sum(int((a.with_landmarks & ~a.ignored).sum()) for a in annotations),
        sides=np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)),
        problems=tuple(problems),
    )


def _problems_of(annotation: Annotation) -> list[str]:
    try:
        height, width = read_image(annotation.path).shape[:2]
    except ImageError as error:
        return [str(error)]
    problems = []
    if annotation.size is not None and annotation.size != (width, height):
        problems.append(f"{annotation.path}: {width}x{height}, its labels say {annotation.size}")
    beyond = (annotation.boxes[:, :2] < -_SLACK).any(1) | (
        annotation.boxes[:, 2:] > np.array([width, height]) + _SLACK
    ).any(1)
    outside = annotation.boxes[beyond & ~annotation.ignored]
    if len(outside):
        named = ", ".join(str([round(float(v), 1) for v in box]) for box in outside[:_FEW])
        more = f" and {len(outside) - _FEW} more" if len(outside) > _FEW else ""
        problems.append(f"{annotation.path}: {width}x{height}, boxes reach outside: {named}{more}")
    return problems
