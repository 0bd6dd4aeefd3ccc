"""Runs a detector over a set of pictures, on all cores, in the order of the ground truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.errors import DataError
from featherface.evaluate.ground_truth import (
    OFFICIAL_PICTURES,
    ImageTruth,
    is_wider_val,
    load_ground_truth,
)
from featherface.evaluate.protocol import Protocol
from featherface.images import IMAGE_SUFFIXES
from featherface.runtime import Session

Rows = NDArray[np.float64]


@dataclass(frozen=True)
class EvaluationSet:
    """The pictures that are there, with their ground truth."""

    truths: list[ImageTruth]
    paths: list[Path]
    source: str = "WIDER FACE val"
    whole: int = OFFICIAL_PICTURES
    """How many pictures the source has."""
    known: frozenset[tuple[str, str]] = frozenset()
    """Event and name of all pictures of the source, also of those that are not there."""

    @property
    def name(self) -> str:
        """How results call this set."""
        count = len(self.truths)
        return self.source if count == self.whole else f"{count} pictures of {self.source}"


def load_set(folder: str | Path, split: str = "val") -> EvaluationSet:
    """The pictures under `<folder>/<split>/images` that the ground truth beside it knows.

    They are called WIDER FACE's when the ground truth counts what the official one does. DataError when there are
    none, or when a picture's event or name is unknown to the ground truth.
    """
    root = Path(folder)
    images = root / split / "images"
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of pictures")
    everything = load_ground_truth(root / "ground_truth")
    truths = {(t.event, t.name): t for t in everything}
    there = {}
    for path in sorted(p for p in images.glob("*/*") if p.suffix.lower() in IMAGE_SUFFIXES):
        key = (path.parent.name, path.stem)
        if key not in truths:
            raise DataError(f"{path}: unknown to the ground truth")
        there[key] = path
    if not there:
        raise DataError(f"{images}: holds no pictures")
    chosen = [t for key, t in truths.items() if key in there]
    source = "WIDER FACE val" if is_wider_val(everything) else f"own ground truth in {root}"
    paths = [there[t.event, t.name] for t in chosen]
    return EvaluationSet(chosen, paths, source, len(everything), frozenset(truths))


def every_nth(pictures: EvaluationSet, count: int) -> EvaluationSet:
    """About `count` pictures, evenly spread; all when count is 0."""
    if count <= 0 or count >= len(pictures.truths):
        return pictures
    chosen = np.linspace(0, len(pictures.truths) - 1, count).round().astype(int)
    truths, paths = [pictures.truths[i] for i in chosen], [pictures.paths[i] for i in chosen]
    return replace(pictures, truths=truths, paths=paths)


def detect_set(
    model: str | os.PathLike[str] | Session,
    paths: Sequence[Path],
    protocol: Protocol,
    *,
    workers: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Detections]:
    """Each picture's faces. Every worker thread runs one-threaded, so the result is the same for any number."""
    detector = Detector(
        model,
        score_threshold=protocol.score_threshold,
        iou_threshold=protocol.iou_threshold,
        max_detections=protocol.max_detections,
        threads=1,
    )

    def look(path: Path) -> Detections:
        return detector.detect(
            path,
            scales=protocol.scales,
            flip=protocol.flip,
            long_side=protocol.long_side,
            agree=protocol.agree,
        )

    return each_picture(look, paths, workers, progress)


def each_picture(
    look: Callable[[Path], Detections],
    paths: Sequence[Path],
    workers: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Detections]:
    """What `look` finds in each picture, by several threads (as many as there are cores), in order."""

    def one(path: Path) -> Detections:
        found = look(path)
        progress()
        return found

    with ThreadPoolExecutor(workers or _cores()) as pool:
        return list(pool.map(one, paths))


def _cores() -> int:
    """The cores that this process may use, which in a container are fewer than the machine has."""
    may_use = getattr(os, "sched_getaffinity", None)
    return len(may_use(0)) if may_use else os.cpu_count() or 1


def to_predictions(found: Iterable[Detections], truths: Iterable[ImageTruth]) -> dict[tuple[str, str], Rows]:
    """Each picture's rows by (event, name), as the evaluator takes them."""
    return {(t.event, t.name): to_rows(d) for t, d in zip(truths, found, strict=True)}


def to_rows(found: Detections) -> Rows:
    """Detections as the official format has them: (N, 5) x, y, w, h, score."""
    boxes = found.boxes.astype(np.float64)
    return np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], found.scores.astype(np.float64)])
