"""Regions of a picture made unrecognisable: blurred, pixelated, painted over or covered."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.errors import ConfigError, ImageError, reason_of
from featherface.images import Image

Method = Literal["blur", "pixelate", "solid", "image"]
Shape = Literal["ellipse", "box"]
METHODS: tuple[Method, ...] = get_args(Method)
SHAPES: tuple[Shape, ...] = get_args(Shape)

# How many independent values are left across a face: too few to tell whose it is, however large it was, and
# never finer than this many pixels, or a face of 16 px would keep most of what it had.
_BLUR_CELLS, _MOSAIC_CELLS = 4, 6
_LEAST_CELL = 5


@dataclass(frozen=True, eq=False)
class Style:
    """How faces are hidden. ConfigError for values that make no sense."""

    method: Method = "blur"
    shape: Shape = "ellipse"
    grow: float = 1.3
    """Width and height of the hidden region relative to the face's box."""
    colour: tuple[int, int, int] = (0, 0, 0)
    """RGB, for `solid`."""
    cover: NDArray[np.uint8] | None = None
    """(H, W, 4) RGBA, for `image`; where it is transparent, the face below is blurred."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method = {self.method!r}: one of {', '.join(METHODS)}")
        if self.shape not in SHAPES:
            raise ConfigError(f"shape = {self.shape!r}: one of {', '.join(SHAPES)}")
        if not 1 <= self.grow <= 4:
            raise ConfigError(f"grow = {self.grow}: must lie between 1 and 4")
        if any(not 0 <= value <= 255 for value in self.colour):
            raise ConfigError(f"colour = {self.colour}: three numbers from 0 to 255")
        if self.method == "image" and self.cover is None:
            raise ConfigError("method = 'image': needs the image that covers the faces")


def grown(boxes: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Boxes (N, 4) with both sides multiplied, about their centres; not clipped."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * np.float32(factor)
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def hide(image: Image, boxes: NDArray[np.float32], style: Style) -> Image:
    """A copy of the RGB picture in which no face in `boxes` (N, 4, xyxy) can be recognised.

    Small ones first, so that a large face is not built from pixels of one that it overlaps.
    """
    canvas = np.ascontiguousarray(image).copy()
    sides = boxes[:, 2:] - boxes[:, :2]
    for box in grown(boxes, style.grow)[np.argsort(sides.prod(1), kind="stable")]:
        _hide_one(canvas, box, style)
    return canvas


def load_cover(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A picture, with its transparency if it has any, as (H, W, 4) RGBA. ImageError when it is none."""
    try:
        data = np.fromfile(Path(path), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except OSError as error:
        raise ImageError(f"{path}: {reason_of(error)}") from error
    except cv2.error as error:
        raise ImageError(f"{path}: cannot be decoded ({error.err})") from error
    if picture is None or picture.size == 0:
        raise ImageError(f"{path}: not a picture that can be decoded")
    if picture.dtype == np.uint16:
        picture = picture // 257
    codes = {1: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    if channels not in codes:
        raise ImageError(f"{path}: {channels} channels; expected grey, colour, or colour with transparency")
    return np.asarray(cv2.cvtColor(picture.astype(np.uint8), codes[channels]), np.uint8)


def _hide_one(canvas: Image, box: NDArray[np.float32], style: Style) -> None:
    height, width = canvas.shape[:2]
    left, top = (int(v) for v in np.floor(box[:2]).clip(0, (width, height)))
    right, bottom = (int(v) for v in np.ceil(box[2:]).clip(0, (width, height)))
    if right <= left or bottom <= top:
        return
    region = canvas[top:bottom, left:right]
    hidden = _covered(region, box - np.array([left, top, left, top], np.float32), style)
    if style.shape == "box" or style.method == "image":
        region[:] = hidden
        return
    mask = np.zeros(region.shape[:2], np.uint8)
    centre = (float(box[0] + box[2]) / 2 - left, float(box[1] + box[3]) / 2 - top)
    cv2.ellipse(mask, (centre, (float(box[2] - box[0]), float(box[3] - box[1])), 0.0), 255, -1)
    np.copyto(region, hidden, where=mask[..., None] > 0)


def _covered(region: Image, box: NDArray[np.float32], style: Style) -> Image:
    """What stands in the region's place; `box` is the whole hidden region, which the picture's edge may cut."""
    if style.method == "solid":
        return np.broadcast_to(np.array(style.colour, np.uint8), region.shape)
    if style.method == "pixelate":
        return _coarse(region, box, _MOSAIC_CELLS, cv2.INTER_NEAREST)
    blurred = _coarse(region, box, _BLUR_CELLS, cv2.INTER_LINEAR)
    return (
        _pasted(blurred, box, style.cover) if style.method == "image" and style.cover is not None else blurred
    )


def _coarse(region: Image, box: NDArray[np.float32], cells: int, enlarge: int) -> Image:
    """Shrunk to a few mean values and enlarged again: unlike a convolution, nothing of the detail is left in it."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    cell = max(side / cells, _LEAST_CELL)
    rows, columns = (max(1, round(length / cell)) for length in region.shape[:2])
    means = cv2.resize(region, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(means, region.shape[1::-1], interpolation=enlarge), np.uint8)


def _pasted(below: Image, box: NDArray[np.float32], cover: NDArray[np.uint8]) -> Image:
    # Warped rather than resized: the box may reach far beyond the region.
    height, width = below.shape[:2]
    scale = (box[2:] - box[:2]) / np.array(cover.shape[1::-1], np.float32)
    small = cv2.resize(
        cover,
        tuple(int(max(1, side)) for side in np.ceil(box[2:] - box[:2])),
        interpolation=cv2.INTER_AREA if scale.max() < 1 else cv2.INTER_LINEAR,
    )
    shift = np.array([[1, 0, box[0]], [0, 1, box[1]]], np.float64)
    placed = cv2.warpAffine(small, shift, (width, height), flags=cv2.INTER_LINEAR)
    alpha = placed[..., 3:].astype(np.float32) / 255
    return np.asarray(np.rint(below * (1 - alpha) + placed[..., :3] * alpha), np.uint8)
