"""The pictures that int8 scales are measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface.errors import DataError, ImageError, reason_of
from featherface.export.options import DEFAULT_SIZE, Options
from featherface.images import IMAGE_SUFFIXES, PAD_MULTIPLE, read_image, resize, to_input


def find_pictures(folder: Path, count: int) -> list[Path]:
    """About `count` pictures of a folder and those in it, evenly spread; DataError when there are none."""
    try:
        there = folder.is_dir()
    except OSError as error:  # a name that is too long, a folder that lets nobody look
        raise DataError(f"{folder}: cannot be read ({reason_of(error)})") from error
    if not there:
        raise DataError(f"{folder}: no such folder of calibration pictures")
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not paths:
        raise DataError(f"{folder}: holds no pictures to calibrate on")
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[i] for i in chosen]


def batches(
    options: Options, warn: Callable[[str], None] = lambda line: None
) -> Iterator[NDArray[np.float32]]:
    """Inputs (1, 3, H, W), RGB 0-255: each picture shrunk to fit the input size and padded.

    One that cannot be read is skipped, and `warn` hears why; DataError when none is left.
    """
    assert options.calibration is not None
    size = options.input_size or DEFAULT_SIZE
    read = 0
    for path in find_pictures(options.calibration, options.calibration_images):
        try:
            image = read_image(path)
        except ImageError as error:
            warn(f"not calibrated on: {error}")
            continue
        read += 1
        height, width = image.shape[:2]
        shrink = min(1.0, size[0] / height, size[1] / width)
        fitting = resize(image, max(1, int(width * shrink)), max(1, int(height * shrink)))
        yield to_input(fitting, PAD_MULTIPLE, options.input_size)
    if not read:
        raise DataError(f"{options.calibration}: none of its pictures can be read")
