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
    """The face (size, size, 3), turned, scaled and moved (no shear) so that its landmarks (5, 2) meet the template."""
    matrix = similarity(landmarks, TEMPLATE_112 * np.float32(size / 112))
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)


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
