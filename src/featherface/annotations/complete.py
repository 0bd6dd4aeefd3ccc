"""Labels completed by a detector: what it is sure of is a face, what it doubts is ignored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from featherface.annotations.types import Annotation
from featherface.boxes import iou_matrix
from featherface.detections import Detections

_SAME_FACE = 0.4


def complete(path: Path, found: Detections, sure: float, existing: Annotation | None = None) -> Annotation:
    """The labels of one picture: the existing ones, then the detections that meet none of them.

    Detections of at least `sure` become faces with landmarks; the others, which the detector's own threshold
    let through, are marked as ignored: neither a face to learn nor background. One that overlaps an existing
    label (IoU over 0.4) is that label, and the label wins.
    """
    new = np.ones(len(found), bool)
    if existing is not None and len(existing) and len(found):
        new = iou_matrix(found.boxes, existing.boxes).max(1) <= _SAME_FACE
    boxes, landmarks = found.boxes[new], found.landmarks[new]
    ignored = found.scores[new] < sure
    if existing is not None:
        boxes = np.concatenate([existing.boxes, boxes])
        landmarks = np.concatenate([existing.landmarks, landmarks])
        ignored = np.concatenate([existing.ignored, ignored])
    return Annotation(path, boxes, landmarks, ignored, (found.width, found.height))
