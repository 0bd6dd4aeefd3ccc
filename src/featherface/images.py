"""Pictures as (H, W, 3) uint8 RGB arrays, turned as their EXIF says."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.errors import ImageError


def read_image(source: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """The picture in a file. ImageError names the file when it cannot be read or decoded."""
    try:
        data = Path(source).read_bytes()
    except OSError as error:
        raise ImageError(f"{source}: {error.strerror}") from error
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB) if data else None
    if image is None:
        raise ImageError(f"{source}: not a picture that can be decoded")
    return np.asarray(image, np.uint8)
