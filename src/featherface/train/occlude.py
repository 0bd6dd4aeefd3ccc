"""Covers parts of faces on purpose: masks, helmets, hands and pillars are rarer in training pictures than in life."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.train.augment import Labels

SMALLEST = 16.0
"""Faces whose shorter side has fewer pixels in the crop are left as they are: there is little of them to recognise."""
_TRIES = 8

_Image = NDArray[np.uint8]
_Box = NDArray[np.float32]
_Span = tuple[float, float, float, float]
_Place = Callable[[np.random.Generator], _Span]


def _mask(rng: np.random.Generator) -> _Span:
    return -0.05, rng.uniform(0.5, 0.65), 1.05, 1.05


def _hat(rng: np.random.Generator) -> _Span:
    return -0.1, -0.15, 1.1, rng.uniform(0.25, 0.42)


def _side(rng: np.random.Generator) -> _Span:
    width = rng.uniform(0.25, 0.45)
    return (-0.1, -0.1, width, 1.1) if rng.random() < 0.5 else (1 - width, -0.1, 1.1, 1.1)


def _hand(rng: np.random.Generator) -> _Span:
    width, height = rng.uniform(0.3, 0.65, 2)
    x, y = rng.uniform(-0.15, 1.15 - width), rng.uniform(-0.15, 1.15 - height)
    return x, y, x + width, y + height


PLACES: dict[str, _Place] = {"mask": _mask, "hat": _hat, "side": _side, "hand": _hand}
"""What may be in front of a face: the part it covers as x0, y0, x1, y1 in widths and heights of the face's box."""


def cover_faces(image: _Image, labels: Labels, rate: float, rng: np.random.Generator) -> _Image:
    """The crop (S, S, 3) with a part of about half or less covered in a share `rate` of its faces; labels stay as they
    are.

    What covers is a plain colour with a little light and shade, or a piece of the same crop that shows no face. As much
    is put where no face is: a patch alone must not say that there is one. Ignored faces and those under `SMALLEST`
    pixels are left. The image that came in is not changed.
    """
    sides = (labels.boxes[:, 2:] - labels.boxes[:, :2]).min(1) if len(labels) else np.zeros(0)
    chosen = np.flatnonzero(~labels.ignored & (sides >= SMALLEST) & (rng.random(len(labels)) < rate))
    if not len(chosen):
        return image
    covered = image.copy()
    for face in chosen:
        part = PLACES[str(rng.choice(list(PLACES)))](rng)
        x0, y0, x1, y1 = _corners(labels.boxes[face], part, image.shape)
        width, height = x1 - x0, y1 - y0
        if min(width, height) < 2:
            continue
        _paint(covered, image, labels, (x0, y0, width, height), rng)
        if (free := _free(image, labels, width, height, rng)) is not None:
            _paint(covered, image, labels, (*free, width, height), rng)
    return covered


def _corners(box: _Box, part: _Span, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The pixels of a part of a face, as far as they lie in the crop."""
    corners = np.tile(box[:2], 2) + np.array(part, np.float32) * np.tile(box[2:] - box[:2], 2)
    x0, y0, x1, y1 = np.round(corners).astype(int).clip(0, np.tile(np.array(shape[1::-1]), 2))
    return int(x0), int(y0), int(x1), int(y1)


def _paint(
    covered: _Image,
    image: _Image,
    labels: Labels,
    place: tuple[int, int, int, int],
    rng: np.random.Generator,
) -> None:
    """Paint over one place (x, y, width, height), in place."""
    x, y, width, height = place
    piece = _free(image, labels, width, height, rng) if rng.random() < 0.5 else None
    if piece is None:
        paint = _plain(width, height, rng)
    else:
        paint = image[piece[1] : piece[1] + height, piece[0] : piece[0] + width].astype(np.float32)
    shape = np.zeros((height, width), np.float32)
    if rng.random() < 0.5:
        middle, turn = ((width - 1) / 2, (height - 1) / 2), float(rng.uniform(-15, 15))
        cv2.ellipse(shape, (middle, (float(width), float(height)), turn), 1.0, -1)
    else:
        shape[:] = 1
    soft = cv2.GaussianBlur(shape, (0, 0), float(rng.uniform(0.4, 1.2)))[..., None]
    under = covered[y : y + height, x : x + width]
    covered[y : y + height, x : x + width] = np.round(soft * paint + (1 - soft) * under).astype(np.uint8)


def _plain(width: int, height: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A colour, often near grey as cloth and helmets are, lighter on one side."""
    grey = rng.uniform(10, 245)
    colour = np.clip(grey + rng.normal(0, rng.choice([8.0, 50.0]), 3), 0, 255)
    across = np.linspace(-1, 1, width)[None] * rng.normal(0, 12)
    down = np.linspace(-1, 1, height)[:, None] * rng.normal(0, 12)
    grain = rng.normal(0, rng.uniform(0, 8), (height, width))
    return (colour + (across + down + grain)[..., None]).clip(0, 255).astype(np.float32)


def _free(
    image: _Image, labels: Labels, width: int, height: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Where (left, top) no labelled face reaches into a place of this size; None when none was met by chance."""
    low, high = labels.boxes[:, :2], labels.boxes[:, 2:]
    for _ in range(_TRIES):
        x = int(rng.integers(0, image.shape[1] - width + 1))
        y = int(rng.integers(0, image.shape[0] - height + 1))
        meets = (low < (x + width, y + height)).all(1) & (high > (x, y)).all(1)
        if not meets.any():
            return x, y
    return None
