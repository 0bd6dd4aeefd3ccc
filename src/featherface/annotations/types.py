"""One labelled picture, the same whatever format its labels came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from featherface.errors import DataError

LEAST_SIDE = 1.0
"""Pixels; a box with a shorter side shows nothing to learn, so `faces_of` ignores it."""


@dataclass(frozen=True, eq=False)
class Annotation:
    """The faces of one picture, in its pixels (EXIF turned, as `images.read_image` gives them).

    Raises DataError, which names the picture, for arrays that do not fit together, coordinates that are not
    finite, a box that ends before it begins, or a face with some of its five points.
    """

    path: Path
    """The picture."""
    boxes: NDArray[np.float32]
    """(N, 4) xyxy."""
    landmarks: NDArray[np.float32]
    """(N, 5, 2) in the order of `Detections`; NaN for a face whose five points are not all known."""
    ignored: NDArray[np.bool_]
    """(N,): invalid, crowd or doubtful; neither a face to learn nor background."""
    size: tuple[int, int] | None = None
    """(width, height) when the format knows it."""

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "path", Path(self.path))
        set_field(self, "boxes", np.asarray(self.boxes, np.float32))
        set_field(self, "landmarks", np.asarray(self.landmarks, np.float32))
        set_field(self, "ignored", np.asarray(self.ignored, bool))
        problem = self._problem()
        if problem:
            raise DataError(f"{self.path}: {problem}")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def with_landmarks(self) -> NDArray[np.bool_]:
        """(N,): the faces whose landmarks are known."""
        return np.asarray(np.isfinite(self.landmarks).all((1, 2)))

    def _problem(self) -> str | None:
        n = len(self.boxes)
        shapes = (self.boxes.shape, self.landmarks.shape, self.ignored.shape)
        if shapes != ((n, 4), (n, 5, 2), (n,)):
            return f"boxes, landmarks, ignored of shapes {shapes} do not fit together"
        if not np.isfinite(self.boxes).all():
            return "a box coordinate is not finite"
        if (self.boxes[:, 2:] < self.boxes[:, :2]).any():
            return "a box ends before it begins"
        unknown = np.isnan(self.landmarks).all((1, 2))
        if not (unknown | self.with_landmarks).all():
            return "a face has some of its five landmarks; they are all known or all NaN"
        if self.size is not None and min(self.size) < 1:
            return f"size {self.size} is not over 0"
        return None


def faces_of(
    path: Path,
    boxes: ArrayLike,
    landmarks: ArrayLike | None = None,
    ignored: ArrayLike | None = None,
    size: tuple[int, int] | None = None,
) -> Annotation:
    """An Annotation from what a reader found; any number of faces, also none.

    Boxes under LEAST_SIDE are ignored, and a face with an unknown point (NaN) has none of the five.
    """
    corners = np.asarray(boxes, np.float32).reshape(-1, 4)
    points = np.full((len(corners), 5, 2), np.nan, np.float32)
    if landmarks is not None:
        points[:] = np.asarray(landmarks, np.float32).reshape(-1, 5, 2)
        points[np.isnan(points).any((1, 2))] = np.nan
    skipped = np.asarray((corners[:, 2:] - corners[:, :2] < LEAST_SIDE).any(1))
    if ignored is not None:
        skipped = skipped | np.asarray(ignored, bool).reshape(-1)
    return Annotation(path, corners, points, skipped, size)
