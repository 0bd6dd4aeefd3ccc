"""Finding every face that is to be hidden: a missed one costs more than a blurred poster."""

from __future__ import annotations

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.images import Image

THRESHOLD = 0.2
"""The score from which a region is hidden when nothing else is asked for."""

# Priors end at 512 px: in a picture from a good camera, a face that fills it shows only in a smaller copy.
_LARGE, _OVERVIEW = 1600, 960


def scales_for(width: int, height: int, first: float = 1.0) -> tuple[float, ...]:
    """The sizes at which a picture is looked at, relative to it: `first` and, for a large one, an overview."""
    longer = max(width, height)
    return (first, _OVERVIEW / longer) if longer > _LARGE else (first,)


def find_faces(detector: Detector, picture: Image) -> Detections:
    """The faces of one photo, which is also looked at mirrored and, when it is large, shrunk."""
    height, width = picture.shape[:2]
    return detector.detect(picture, scales=scales_for(width, height), flip=True)
