"""A sheet of labelled pictures, to look at: boxes and landmarks drawn in, ignored faces in grey."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.annotations.types import Annotation
from featherface.images import PAD_COLOUR, resize

_FACE, _IGNORED = (60, 220, 80), (150, 150, 150)
_POINT = (255, 200, 40)
_COLUMNS = 4


def sheet(pictures: Sequence[tuple[NDArray[np.uint8], Annotation]], cell: int = 384) -> NDArray[np.uint8]:
    """RGB pictures and their labels as one picture, four columns of cells of this side."""
    columns = min(_COLUMNS, max(len(pictures), 1))
    rows = max(1, -(-len(pictures) // columns))
    canvas = np.full((rows * cell, columns * cell, 3), PAD_COLOUR, np.uint8)
    for i, (image, annotation) in enumerate(pictures):
        drawn = _cell(image, annotation, cell)
        y, x = i // columns * cell, i % columns * cell
        canvas[y : y + drawn.shape[0], x : x + drawn.shape[1]] = drawn
    return canvas


def _cell(image: NDArray[np.uint8], annotation: Annotation, cell: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = cell / max(height, width)
    drawn = resize(image, max(1, round(width * scale)), max(1, round(height * scale))).copy()
    for box, points, ignored in zip(annotation.boxes, annotation.landmarks, annotation.ignored, strict=True):
        x1, y1, x2, y2 = (round(float(v) * scale) for v in box)
        cv2.rectangle(drawn, (x1, y1), (x2, y2), _IGNORED if ignored else _FACE, 1, cv2.LINE_AA)
        if np.isfinite(points).all() and x2 - x1 > 16 and not ignored:
            for x, y in points * scale:
                cv2.circle(drawn, (round(float(x)), round(float(y))), 1, _POINT, -1, cv2.LINE_AA)
    return drawn
