"""Detections drawn into a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.detections import Detections

_BOX = (0, 200, 80)
_TEXT = (255, 255, 255)
_SMALL = 120
_POINTS = ((255, 60, 60), (60, 120, 255), (255, 200, 0), (230, 80, 230), (0, 220, 220))


def draw_detections(
    image: NDArray[np.uint8], detections: Detections, labels: Sequence[str] | None = None
) -> NDArray[np.uint8]:
    """A copy of the RGB picture with boxes, scores (or `labels`) and five coloured landmarks, sized to fit it."""
    canvas = np.ascontiguousarray(image).copy()
    line, text = _sizes(canvas.shape[:2])
    for box, label, points in _marks(detections, labels):
        x1, y1, x2, y2 = box
        cv2.rectangle(canvas, (x1, y1), (x2, y2), _BOX, line, cv2.LINE_AA)
        for (x, y), colour in zip(points, _POINTS, strict=True):
            cv2.circle(canvas, (round(float(x)), round(float(y))), _radius(box), colour, -1, cv2.LINE_AA)
        if label:
            _draw_label(canvas, label, box, text)
    return canvas


def drawn_regions(
    size: tuple[int, ...], detections: Detections, labels: Sequence[str] | None = None
) -> NDArray[np.float32]:
    """Regions (N, 4, xyxy) outside which `draw_detections` leaves a picture of `size` (height, width) as it is.

    A small face is one region; of a large one what lies between its lines and landmarks is none.
    """
    line, text = _sizes(size)
    regions: list[tuple[float, ...]] = []
    for box, label, points in _marks(detections, labels):
        x1, y1, x2, y2 = box
        near = _radius(box)
        dots = [(x - near, y - near, x + near, y + near) for x, y in points.tolist()]
        if x2 - x1 < _SMALL:
            corners = np.array([box, *dots])
            regions.append((*corners[:, :2].min(0), *corners[:, 2:].max(0)))
        else:
            regions += [(x1, y1, x2, y1), (x1, y2, x2, y2), (x1, y1, x1, y2), (x2, y1, x2, y2), *dots]
        if label:
            regions.append(_label_box(label, box, text, size[1])[:4])
    reach = line + 2  # half a line, smoothed, and the rounding of its ends
    margin = np.array([-reach, -reach, reach + 1, reach + 1], np.float32)
    return np.array(regions, np.float32).reshape(-1, 4) + margin


def _sizes(size: tuple[int, ...]) -> tuple[int, float]:
    """Thickness of a line and scale of the text."""
    return max(1, round(max(size) / 500)), max(0.4, max(size) / 2000)


_Box = tuple[int, int, int, int]


def _marks(
    detections: Detections, labels: Sequence[str] | None
) -> Iterator[tuple[_Box, str, NDArray[np.float32]]]:
    """Box, label (none at a box too narrow for one) and landmarks of each face."""
    shown = [f"{score:.2f}" for score in detections.scores] if labels is None else labels
    for box, label, points in zip(detections.boxes, shown, detections.landmarks, strict=True):
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        yield (x1, y1, x2, y2), label if x2 - x1 >= 24 else "", points


def _radius(box: _Box) -> int:
    return max(1, round((box[2] - box[0]) / 30))


def _label_box(label: str, box: _Box, scale: float, width: int) -> tuple[int, int, int, int, int]:
    """x1, y1, x2, y2 of the label's ground, and the line on which its text stands."""
    (wide, high), base = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, max(1, round(2 * scale)))
    left = max(0, min(box[0], width - wide))
    top = max(0, box[1] - high - base)
    return left, top, left + wide, top + high + base, top + high


def _draw_label(canvas: NDArray[np.uint8], label: str, box: _Box, scale: float) -> None:
    left, top, right, bottom, stands = _label_box(label, box, scale, canvas.shape[1])
    cv2.rectangle(canvas, (left, top), (right, bottom), _BOX, -1)
    line = max(1, round(2 * scale))
    cv2.putText(canvas, label, (left, stands), cv2.FONT_HERSHEY_SIMPLEX, scale, _TEXT, line, cv2.LINE_AA)
