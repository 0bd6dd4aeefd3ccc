"""Clips composed from still pictures, by pans and zooms, in which every face's path is known.

Ground truth for tracking and anonymising without a labelled video: the camera moves over each picture in turn,
and the boxes of its labelled faces move with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.images import Image


@dataclass(frozen=True, eq=False)
class Shot:
    """A still picture and its faces' boxes (N, 4, xyxy)."""

    image: Image
    boxes: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Composed:
    """A frame and the faces in it."""

    image: Image
    boxes: NDArray[np.float32]
    """(M, 4) xyxy, clipped to the frame."""
    ids: NDArray[np.int64]
    """(M,): one number a face, the same in all frames; different in every shot."""


def compose(
    shots: Sequence[Shot], width: int, height: int, frames: int, *, zoom: float = 1.6, seed: int = 0
) -> Iterator[Composed]:
    """`frames` pictures of `width` x `height`, the same number from each shot, one after the other.

    The view moves on a straight line, easing in and out, from one random part of the picture to another, of
    sizes that differ by up to `zoom`. Faces less than half visible are left out.
    """
    random = np.random.default_rng(seed)
    first_id = 0
    for number, shot in enumerate(shots):
        count = frames * (number + 1) // len(shots) - frames * number // len(shots)
        start, end = (_view(shot.image, width / height, zoom, random) for _ in range(2))
        for step in range(count):
            share = 0.5 - 0.5 * np.cos(np.pi * step / max(1, count - 1))
            view = start * (1 - share) + end * share
            yield _seen(shot, view, width, height, first_id)
        first_id += len(shot.boxes)


def _view(image: Image, aspect: float, zoom: float, random: np.random.Generator) -> NDArray[np.float64]:
    """(left, top, width, height) of a part with this aspect, at most `zoom` times smaller than fits."""
    rows, columns = image.shape[:2]
    widest = min(columns, rows * aspect)
    width = widest / random.uniform(1, zoom)
    height = width / aspect
    return np.array([random.uniform(0, columns - width), random.uniform(0, rows - height), width, height])


def _seen(shot: Shot, view: NDArray[np.float64], width: int, height: int, first_id: int) -> Composed:
    scale = width / view[2]
    matrix = np.array([[scale, 0, -view[0] * scale], [0, scale, -view[1] * scale]])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = np.asarray(cv2.warpAffine(shot.image, matrix, (width, height), flags=interpolation), np.uint8)
    boxes = (shot.boxes - np.tile(view[:2], 2)) * scale
    clipped = boxes.clip(0, [width, height, width, height])
    area, left = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (boxes, clipped))
    visible = np.flatnonzero((left >= 0.5 * area) & (area > 0))
    return Composed(image, clipped[visible].astype(np.float32), visible.astype(np.int64) + first_id)
