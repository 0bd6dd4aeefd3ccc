"""Several crops on one canvas: mosaics, and other pictures where a small one leaves padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featherface.train.augment import Labels, View


@dataclass(frozen=True)
class Square:
    """A place on the canvas: its left and top edge and its side, in pixels."""

    x: int
    y: int
    side: int


def quarters(size: int) -> list[Square]:
    """The four squares of a mosaic of side `size`, row by row."""
    half = size // 2
    return [Square(x, y, half) for y in (0, half) for x in (0, half)]


def free_squares(view: View, width: int, height: int, size: int, smallest: int) -> list[Square]:
    """Squares of at least `smallest` pixels that a picture (width, height) leaves free in its window of side `size`.

    Beside it from top to bottom, then above and below it. None for a turned view, whose free places are triangles,
    and none where `smallest` is 0.
    """
    if view.degrees or not smallest:
        return []
    ends = view.matrix(size) @ np.array([[0, width], [0, height], [1, 1]])
    left, top = (int(v) for v in np.floor(ends.min(1)).clip(0, size))
    right, bottom = (int(v) for v in np.ceil(ends.max(1)).clip(0, size))
    strips = [
        (0, 0, left, size),
        (right, 0, size - right, size),
        (left, 0, right - left, top),
        (left, bottom, right - left, size - bottom),
    ]
    return [square for strip in strips for square in _along(*strip, smallest)]


def _along(x: int, y: int, width: int, height: int, smallest: int) -> list[Square]:
    """Squares side by side in a strip, as large as fit."""
    side = min(width, height)
    if side < smallest:
        return []
    count = max(width, height) // side
    return [
        Square(x + i * side * (width > height), y + i * side * (width <= height), side) for i in range(count)
    ]


def pasted(canvas: NDArray[np.uint8], piece: NDArray[np.uint8], labels: Labels, place: Square) -> Labels:
    """Put a piece (side, side, 3) on the canvas, in place; its faces as the canvas shows them."""
    canvas[place.y : place.y + place.side, place.x : place.x + place.side] = piece
    shift = np.array([place.x, place.y], np.float32)
    return Labels(labels.boxes + np.tile(shift, 2), labels.landmarks + shift, labels.ignored)
