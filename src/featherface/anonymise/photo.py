"""One photo in, the same photo without recognisable faces out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface.anonymise.hide import Style, hide
from featherface.anonymise.look import find_faces
from featherface.anonymise.metadata import encode_with, kept_metadata
from featherface.detections import Detections
from featherface.detector import Detector
from featherface.errors import ImageError, reason_of
from featherface.images import Image, decode_image

WRITABLE = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff"})
"""Formats that a result can have; any other input becomes a PNG."""


@dataclass(frozen=True, eq=False)
class Anonymised:
    """A photo whose faces are hidden."""

    data: bytes
    """The content of the new file."""
    suffix: str
    """Its format, such as `.jpg`."""
    picture: Image
    """(H, W, 3) RGB, before it was encoded."""
    found: Detections
    """The faces that were hidden, in the pixels of `picture`."""

    @property
    def boxes(self) -> NDArray[np.float32]:
        """(N, 4) xyxy, not grown."""
        return self.found.boxes


def anonymise_photo(
    path: Path, detector: Detector, style: Style | None = None, *, keep_metadata: bool = False
) -> Anonymised:
    """The photo in a file, see `anonymise_bytes`. Raises ImageError when it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {reason_of(error)}") from error
    return anonymise_bytes(data, str(path), path.suffix, detector, style, keep_metadata=keep_metadata)


def anonymise_bytes(
    data: bytes,
    name: str,
    suffix: str,
    detector: Detector,
    style: Style | None = None,
    *,
    keep_metadata: bool = False,
) -> Anonymised:
    """A new file of the same format, turned upright, faces hidden, without EXIF, GPS, XMP and thumbnails.

    The colour profile stays, because colours change without it; `keep_metadata` keeps EXIF and XMP too, but
    never a thumbnail, which would show the face. `name` is what errors call the photo; `suffix` its format.
    """
    picture = decode_image(data, name)
    found = find_faces(detector, picture)
    hidden = hide(picture, found.boxes, style or Style())
    target = suffix.lower() if suffix.lower() in WRITABLE else ".png"
    return Anonymised(
        encode_with(hidden, target, kept_metadata(data, everything=keep_metadata)), target, hidden, found
    )
