"""Faces cut out and aligned for recognition models."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Where the five landmarks lie in the 112x112 crop of recognition models (ArcFace, Deng 2019; from SphereFace's
# 96x112 template, shifted by 8).
TEMPLATE_112 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    np.float32,
)


def aligned_crop(
    image: NDArray[np.uint8], landmarks: NDArray[np.float32], size: int = 112
) -> NDArray[np.uint8]:
    """The face (size, size, 3), turned, scaled and moved (no shear) so that its landmarks (5, 2) meet the template.

    What lies outside the picture is black. A face much larger than the crop is shrunk by area first, so that
    fine texture does not alias.
    """
    matrix = similarity(landmarks, TEMPLATE_112 * np.float32(size / 112))
    part, left, top = _neighbourhood(image, matrix, size)
    if part.size == 0:
        return np.zeros((size, size, 3), np.uint8)
    matrix[:, 2] += matrix[:, :2] @ (left, top)
    # Half a pixel here and there: pixel centres lie at whole numbers, and area resizing keeps the corners.
    shrink = max(1, int(1 / max(np.hypot(*matrix[:, 0]), 1e-9)))
    if shrink > 1:
        rows, columns = (max(1, round(side / shrink)) for side in part.shape[:2])
        factor = np.array([part.shape[1] / columns, part.shape[0] / rows])
        part = np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, 2] += matrix[:, :2] @ (factor / 2 - 0.5)
        matrix[:, :2] *= factor
    return np.asarray(cv2.warpAffine(part, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


def _neighbourhood(
    image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int
) -> tuple[NDArray[np.uint8], int, int]:
    """The part of the picture that the crop shows, and where it begins; OpenCV cannot warp sides over 32,767."""
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    corners = np.array([[-1, -1, 1], [size, -1, 1], [-1, size, 1], [size, size, 1]]) @ back.T
    low = np.clip(np.floor(corners.min(0)) - 1, 0, image.shape[1::-1]).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 2, 0, image.shape[1::-1]).astype(int)
    return image[low[1] : high[1], low[0] : high[0]], int(low[0]), int(low[1])


def similarity(source: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """The (2, 3) rotation, scale and shift of least squares from points (N, 2) to points (N, 2) (Umeyama 1991).

    In two dimensions it is linear: with complex numbers, target = a source + b.
    """
    z = source[:, 0] + 1j * source[:, 1].astype(np.float64)
    w = target[:, 0] + 1j * target[:, 1].astype(np.float64)
    centred = z - z.mean()
    spread = float((np.abs(centred) ** 2).sum())
    a = complex((centred.conj() * (w - w.mean())).sum() / spread) if spread > 0 else 1.0 + 0j
    b = complex(w.mean() - a * z.mean())
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
