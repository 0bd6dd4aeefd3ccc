"""A second look, at another scale, at what was anonymised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.images import Image

SCALE = 0.75
# How much of a finding must be hidden: with less, half of a face may stick out. What is left of a hidden face may
# look, with what is around it, like a larger one of a low score: such a finding need only touch what is hidden, and one
# hardly over that be hidden for the most part.
_COVERED, _MOSTLY, _TOUCHED = 0.8, 0.5, 0.01
_CONFIDENT, _DOUBTFUL = 0.6, 0.5


@dataclass(frozen=True, eq=False)
class Check:
    """What the detector still finds in a result."""

    visible: Detections
    """Faces that no hidden region covers: these were missed."""
    covered: Detections
    """Hidden ones that still look like a face to the detector, as blurred ones may; nobody can be recognised."""


def check(detector: Detector, picture: Image, hidden: NDArray[np.float32], scale: float = SCALE) -> Check:
    """Looks for faces in a result whose regions `hidden` (N, 4, xyxy) were made unrecognisable.

    `scale`: of the picture, another than the one at which they were found. Findings count from the detector's own
    threshold, the one from which faces are hidden. One is covered when a hidden region holds at least four fifths
    of it; one of a score under 0.6, when half of it is hidden, and under a half, when it touches a hidden region.
    """
    height, width = picture.shape[:2]
    found = detector.detect(picture, long_side=max(1, round(scale * max(width, height))))
    unsure = [found.scores < _DOUBTFUL, found.scores < _CONFIDENT]
    needed = np.select(unsure, [_TOUCHED, _MOSTLY], _COVERED)
    covered = held_share(found.boxes, hidden) >= needed
    return Check(found.filter(~covered), found.filter(covered))


def held_share(boxes: NDArray[np.float32], holders: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each box (N, 4) the largest share of its area that one holder (M, 4) contains: (N,)."""
    low = np.maximum(boxes[:, None, :2], holders[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], holders[None, :, 2:])
    overlap = (high - low).clip(0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).clip(1e-6).prod(-1)
    return np.asarray(overlap.max(1, initial=0) / area, np.float32)
