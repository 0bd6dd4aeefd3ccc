"""One labelled picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface.errors import DataError


@dataclass(frozen=True, eq=False)
class Annotation:
    """The faces of one picture, in its pixels."""

    path: Path
    """The picture."""
    boxes: NDArray[np.float32]
    """(N, 4) xyxy."""
    landmarks: NDArray[np.float32]
    """(N, 5, 2), NaN where unknown."""
    ignored: NDArray[np.bool_]
    """(N,): invalid, crowd or doubtful; neither a face to learn nor background."""
    size: tuple[int, int] | None = None
    """(width, height) when the format knows it."""

    def __post_init__(self) -> None:
        n = len(self.boxes)
        shapes = (self.boxes.shape, self.landmarks.shape, self.ignored.shape)
        if shapes != ((n, 4), (n, 5, 2), (n,)):
            raise DataError(f"{self.path}: boxes, landmarks, ignored of shapes {shapes} do not fit together")
