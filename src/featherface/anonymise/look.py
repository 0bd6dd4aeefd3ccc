"""Finding every face that is to be hidden: a missed one costs more than a blurred poster."""

from __future__ import annotations

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.images import Image

THRESHOLD = 0.2
"""The score from which a region is hidden when nothing else is asked for."""


def find_faces(detector: Detector, picture: Image) -> Detections:
    """The faces of one photo, which is also looked at mirrored."""
    return detector.detect(picture, flip=True)
