"""Detections drawn into a picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.detections import Detections

_BOX = (0, 200, 80)
_TEXT = (255, 255, 255)
_POINTS = ((255, 60, 60), (60, 120, 255), (255, 200, 0), (230, 80, 230), (0, 220, 220))


def draw_detections(
    image: NDArray[np.uint8], detections: Detections, labels: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """A copy of the RGB picture with boxes, scores (or `labels`) and five coloured landmarks, sized to fit it."""
    canvas = np.ascontiguousarray(image).copy()
    line = max(1, round(max(canvas.shape[:2]) / 500))
    text = max(0.4, max(canvas.shape[:2]) / 2000)
    shown = [f"{score:.2f}" for score in detections.scores] if labels is None else labels
    for box, label, points in zip(detections.boxes, shown, detections.landmarks, strict=True):
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), _BOX, line, cv2.LINE_AA)
        radius = max(1, round((x2 - x1) / 30))
        for (x, y), colour in zip(points, _POINTS, strict=True):
            cv2.circle(canvas, (round(float(x)), round(float(y))), radius, colour, -1, cv2.LINE_AA)
        if x2 - x1 >= 24 and label:
            _label(canvas, label, x1, y1, text)
    return canvas


def _label(canvas: NDArray[np.uint8], label: str, x: int, y: int, scale: float) -> None:
    line = max(1, round(2 * scale))
    (width, height), base = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, line)
    left = max(0, min(x, canvas.shape[1] - width))
    top = max(0, y - height - base)
    cv2.rectangle(canvas, (left, top), (left + width, top + height + base), _BOX, -1)
    cv2.putText(
        canvas, label, (left, top + height), cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, line, cv2.LINE_AA
    )
