"""Training crops: square, at many scales, flipped, turned a little, recoloured. Numpy and OpenCV only."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

FLIPPED_POINTS = (1, 0, 2, 4, 3)
PAD_COLOUR = (123, 117, 104)
"""RGB; becomes zero when the network's mean is subtracted."""

_Array = NDArray[np.float32]
_Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Labels:
    """The faces of one picture: boxes (N, 4) xyxy, landmarks (N, 5, 2) with NaN where unknown, ignored (N,)."""

    boxes: _Array
    landmarks: _Array
    ignored: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.boxes)

    def only(self, chosen: NDArray[np.bool_]) -> Labels:
        """The chosen faces."""
        return Labels(self.boxes[chosen], self.landmarks[chosen], self.ignored[chosen])


@dataclass(frozen=True)
class View:
    """A square window on a picture: its centre (pixels of the picture), scale, turn and mirroring."""

    centre: tuple[float, float]
    scale: float
    degrees: float = 0.0
    flip: bool = False

    def matrix(self, size: int) -> NDArray[np.float64]:
        """The affine (2, 3) from the picture's pixels to the window's, `size` pixels wide."""
        angle = np.deg2rad(self.degrees)
        cos, sin = np.cos(angle) * self.scale, np.sin(angle) * self.scale
        linear = np.array([[cos, -sin], [sin, cos]])
        if self.flip:
            linear[0] *= -1
        shift = size / 2 - linear @ np.array(self.centre)
        return np.hstack([linear, shift[:, None]])


def no_labels() -> Labels:
    """A picture without faces."""
    return Labels(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, bool))


def join(parts: list[Labels]) -> Labels:
    """The faces of several pieces of one picture."""
    return Labels(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.landmarks for p in parts]),
        np.concatenate([p.ignored for p in parts]),
    )


def view_image(image: _Image, view: View, size: int) -> _Image:
    """What the window shows, (size, size, 3); outside the picture it is padded with the mean colour.

    Only the part of the picture that the window touches is read, so a memory-mapped one stays on disk.
    """
    height, width = image.shape[:2]
    matrix = view.matrix(size)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], float) - matrix[:, 2]
    reach = corners @ np.linalg.inv(matrix[:, :2]).T
    x0, y0 = np.maximum(np.floor(reach.min(0)).astype(int) - 2, 0)
    x1, y1 = np.minimum(np.ceil(reach.max(0)).astype(int) + 2, [width, height])
    if x1 - x0 < 2 or y1 - y0 < 2:
        return np.full((size, size, 3), PAD_COLOUR, np.uint8)
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    offset = np.array([x0, y0], float)
    if view.scale < 0.75:
        # Shrink by area first: sampling every few pixels would alias, and small faces would be noise.
        shape = np.maximum(np.round(np.array([x1 - x0, y1 - y0]) * view.scale), 1)
        factor = np.asarray(shape / np.array([x1 - x0, y1 - y0]), np.float64)
        part = np.asarray(
            cv2.resize(part, (int(shape[0]), int(shape[1])), interpolation=cv2.INTER_AREA), np.uint8
        )
    else:
        factor = np.ones(2)
    # Pixel centres lie at +0.5 in label coordinates, at 0 in OpenCV's.
    linear = matrix[:, :2] / factor
    shift = matrix[:, :2] @ offset + matrix[:, 2] + linear @ np.array([0.5, 0.5]) - 0.5
    return np.asarray(
        cv2.warpAffine(
            part,
            np.hstack([linear, shift[:, None]]),
            (size, size),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=PAD_COLOUR,
        ),
        np.uint8,
    )


def view_labels(labels: Labels, view: View, size: int, min_face: float) -> Labels:
    """The faces as the window shows them.

    A turned face keeps its width and height (a box round its turned corners would be too large). A face
    whose centre lies outside the window is dropped, or ignored where over a third of it can be seen or it takes a
    third of the window; one whose longer side is under `min_face` pixels is ignored. What is ignored already stays so
    as far as it reaches into the window.
    """
    if len(labels) == 0:
        return labels
    matrix = view.matrix(size).astype(np.float32)
    centres = (labels.boxes[:, :2] + labels.boxes[:, 2:]) / 2 @ matrix[:, :2].T + matrix[:, 2]
    half = (labels.boxes[:, 2:] - labels.boxes[:, :2]) / 2 * view.scale
    boxes = np.concatenate([centres - half, centres + half], 1)
    landmarks = labels.landmarks @ matrix[:, :2].T + matrix[:, 2]
    if view.flip:
        landmarks = landmarks[:, FLIPPED_POINTS]
    clipped = boxes.clip(0, size)
    shown = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1)
    mostly = shown > np.minimum(np.prod(2 * half, axis=1).clip(1e-6), size**2) / 3
    inside = ((centres >= 0) & (centres < size)).all(1)
    ignored = labels.ignored | ~inside | (2 * half.max(1) < min_face)
    seen = inside | mostly | (labels.ignored & (shown > 0))
    return Labels(clipped.astype(np.float32), landmarks.astype(np.float32), ignored).only(seen)


def recolour(image: _Image, rng: np.random.Generator) -> _Image:
    """Brightness, contrast, saturation and hue; sometimes grey, blurred, noisy or JPEG-coarse."""
    if rng.random() < 0.6:
        # A table, not convertScaleAbs: that takes the absolute value, which inverts what gets darker than black.
        bright = np.clip(np.arange(256) * rng.uniform(0.6, 1.4) + rng.uniform(-30, 30), 0, 255)
        image = cv2.LUT(image, bright.round().astype(np.uint8))  # type: ignore[assignment]
    if rng.random() < 0.3:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hue = (np.arange(256) + rng.integers(-12, 13)) % 180
        saturation = np.clip(np.arange(256) * rng.uniform(0.5, 1.5), 0, 255)
        table = np.stack([hue, saturation, np.arange(256)], -1).astype(np.uint8)[None]
        image = cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB)  # type: ignore[assignment]
    if rng.random() < 0.05:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)  # type: ignore[assignment]
    kind = rng.random()
    if kind < 0.05:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5))  # type: ignore[assignment]
    elif kind < 0.13:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        image = cv2.imdecode(coded, cv2.IMREAD_COLOR)  # type: ignore[assignment]
    elif kind < 0.16:
        noise = rng.normal(0, rng.uniform(2, 10), image.shape)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image


def darken(image: _Image, rng: np.random.Generator) -> _Image:
    """As if taken with too little light: dark tones crushed, a side often darker than the other, a little noise."""
    light = rng.uniform(0.25, 0.7)
    table = 255 * (np.arange(256) / 255) ** rng.uniform(1.0, 1.8)
    lit = table.astype(np.float32)[image] * np.float32(light)
    if rng.random() < 0.5:
        ramp = np.linspace(1, rng.uniform(0.3, 1), image.shape[1], dtype=np.float32)
        lit *= ramp[None, :: rng.choice([-1, 1]), None]
    lit += rng.normal(0, rng.uniform(0.5, 4), image.shape[:2])[..., None].astype(np.float32)
    dark: _Image = np.clip(lit.round(), 0, 255).astype(np.uint8)
    return dark
