"""Runs a detector over the pictures of a WIDER FACE folder, on all cores, in the order of the ground truth."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.errors import DataError
from featherface.evaluate.ground_truth import ImageTruth, load_ground_truth
from featherface.evaluate.protocol import Protocol
from featherface.images import IMAGE_SUFFIXES
from featherface.runtime import Session

FULL_SET = 3226


@dataclass(frozen=True)
class EvaluationSet:
    """The pictures that are there, with their ground truth."""

    truths: list[ImageTruth]
    paths: list[Path]
    source: str = "WIDER FACE val"
    whole: int = FULL_SET
    """How many pictures the source has."""
    events: frozenset[str] = frozenset()
    """All events of the source."""

    @property
    def name(self) -> str:
        """How results call this set."""
        count = len(self.truths)
        return self.source if count == self.whole else f"{count} pictures of {self.source}"


def load_set(folder: str | Path, split: str = "val") -> EvaluationSet:
    """The pictures under `<folder>/<split>/images` that the ground truth beside it knows.

    DataError when there are none, or when a picture's event or name is unknown to the ground truth.
    """
    root = Path(folder)
    images = root / split / "images"
    if not images.is_dir():
        raise DataError(f"{images}: no such folder of pictures")
    truths = {(t.event, t.name): t for t in load_ground_truth(root / "ground_truth")}
    there = {}
    for path in sorted(p for p in images.glob("*/*") if p.suffix.lower() in IMAGE_SUFFIXES):
        key = (path.parent.name, path.stem)
        if key not in truths:
            raise DataError(f"{path}: unknown to the ground truth")
        there[key] = path
    if not there:
        raise DataError(f"{images}: holds no pictures")
    chosen = [t for key, t in truths.items() if key in there]
    events = frozenset(event for event, _ in truths)
    return EvaluationSet(chosen, [there[t.event, t.name] for t in chosen], events=events)


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
        found = detector.detect(
            path, scales=protocol.scales, flip=protocol.flip, long_side=protocol.long_side
        )
        progress()
        return found

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        return list(pool.map(look, paths))


def to_rows(found: Detections) -> NDArray[np.float64]:
    """Detections as the official format has them: (N, 5) x, y, w, h, score."""
    boxes = found.boxes.astype(np.float64)
    return np.column_stack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], found.scores.astype(np.float64)])
