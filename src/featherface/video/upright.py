"""A decoded frame as an upright RGB picture of the video's size."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from featherface.images import Image


def upright(decoded: Any, rotation: int, width: int, height: int) -> Image:
    """(height, width, 3): turned by `rotation` degrees counter-clockwise, a multiple of 90, and fitted."""
    # FFmpeg guesses BT.601 for frames that do not say; the writer states the same guess.
    image = decoded.to_ndarray(format="rgb24")
    turns = rotation // 90
    image = np.ascontiguousarray(np.rot90(image, turns)) if turns else np.asarray(image, np.uint8)
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
