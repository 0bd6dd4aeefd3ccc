"""A decoded frame as an upright RGB picture of the video's size."""

from __future__ import annotations

import math
import struct
from typing import Any

import cv2
import numpy as np

from featherface.images import Image


def turn_of(decoded: Any) -> tuple[int, bool]:
    """How a frame is to be shown: degrees counter-clockwise, a multiple of 90 from 0 to 270, and whether it is
    mirrored left to right before that.

    PyAV's own `rotation` leaves mirroring out: it calls a picture that is mirrored one that stands on its head.
    """
    from av.sidedata.sidedata import Type

    matrix = decoded.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None:
        return 0, False
    # A point (x, y) is shown at (a x + c y, b x + d y), y downwards (FFmpeg, libavutil/display.h).
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return round(-math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored


def upright(decoded: Any, rotation: int, width: int, height: int, *, mirrored: bool = False) -> Image:
    """(height, width, 3): mirrored or not, turned by `rotation` degrees counter-clockwise, a multiple of 90, and
    fitted."""
    # FFmpeg guesses BT.601 for frames that do not say; the writer states the same guess.
    image = np.asarray(decoded.to_ndarray(format="rgb24"), np.uint8)
    if mirrored or rotation:
        image = np.ascontiguousarray(np.rot90(image[:, ::-1] if mirrored else image, rotation // 90))
    return image if image.shape[:2] == (height, width) else fitted(image, width, height)


def fitted(image: Image, width: int, height: int) -> Image:
    """The whole picture, as large as fits, in the middle of a black one. Not stretched: a face would be, too."""
    rows, columns = image.shape[:2]
    scale = min(width / columns, height / rows)
    inner = min(width, max(1, round(columns * scale))), min(height, max(1, round(rows * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    whole = np.zeros((height, width, 3), np.uint8)
    whole[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=method)
    return whole
