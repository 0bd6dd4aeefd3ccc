"""The pipeline as a drawing: one box a part, with the real shapes of the network."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.model.summary import Part

_WIDTH, _ROW, _BOX, _LEFT = 640, 84, 60, 40


def _rows(name: str, parts: Sequence[Part], height: int, width: int) -> list[tuple[str, str]]:
    rows = [(f"picture {width} x {height} x 3", f"{name}: {sum(p.parameters for p in parts):,} parameters")]
    for part in parts:
        shapes = "  ".join(" x ".join(map(str, shape)) for shape in part.shapes[:3] if len(shape) == 3)
        size = f"{part.parameters:,} parameters, {part.multiply_adds / 1e6:,.1f} M multiply-adds"
        rows.append((part.title, f"{size}   {shapes}".rstrip()))
    return rows


def to_svg(name: str, parts: Sequence[Part], height: int, width: int) -> str:
    """The drawing as SVG text."""
    rows = _rows(name, parts, height, width)
    total = len(rows) * _ROW + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{total}" fill="#ffffff"/>',
    ]
    for i, (title, detail) in enumerate(rows):
        y = 20 + i * _ROW
        if i:
            x = _WIDTH / 2
            lines.append(
                f'<path d="M{x} {y - _ROW + _BOX} V{y - 3} m-5 -7 l5 7 l5 -7" stroke="#555" fill="none"/>'
            )
        lines.append(
            f'<rect x="{_LEFT}" y="{y}" width="{_WIDTH - 2 * _LEFT}" height="{_BOX}" rx="8" '
            'fill="#eef4fb" stroke="#3a6ea5"/>'
            f'<text x="{_WIDTH / 2}" y="{y + 25}" text-anchor="middle" font-size="16">{escape(title)}</text>'
            f'<text x="{_WIDTH / 2}" y="{y + 46}" text-anchor="middle" font-size="12" fill="#444">'
            f"{escape(detail)}</text>"
        )
    return "\n".join([*lines, "</svg>", ""])


def to_picture(name: str, parts: Sequence[Part], height: int, width: int) -> NDArray[np.uint8]:
    """The same drawing as an RGB picture at twice the size."""
    rows = _rows(name, parts, height, width)
    canvas = np.full(((len(rows) * _ROW + 20) * 2, _WIDTH * 2, 3), 255, np.uint8)
    for i, (title, detail) in enumerate(rows):
        top = 2 * (20 + i * _ROW)
        middle = _WIDTH
        if i:
            start = (middle, top - 2 * (_ROW - _BOX))
            cv2.arrowedLine(canvas, start, (middle, top - 4), (85, 85, 85), 2, cv2.LINE_AA, tipLength=0.3)
        corners = (2 * _LEFT, top), (2 * (_WIDTH - _LEFT), top + 2 * _BOX)
        cv2.rectangle(canvas, *corners, (238, 244, 251), -1)
        cv2.rectangle(canvas, *corners, (58, 110, 165), 2, cv2.LINE_AA)
        for text, scale, y in ((title, 0.9, top + 50), (detail, 0.6, top + 95)):
            (w, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
            place = (middle - w // 2, y)
            cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (40, 40, 40), 1, cv2.LINE_AA)
    return canvas
