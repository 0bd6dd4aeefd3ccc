"""Regions of a frame replaced in its own planes, so that all that is not touched stays as it was decoded.

Turning a whole frame into RGB and back costs as much as encoding it and rounds every pixel twice; what is drawn or
hidden covers a small part of it.
"""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.images import Image

# FFmpeg's numbers for a colour space, and the shares of red and blue in its luma (ITU-T H.273, table 4).
# Unspecified is read as BT.601, as FFmpeg does.
_SHARES = {2: (0.299, 0.114), 5: (0.299, 0.114), 6: (0.299, 0.114), 1: (0.2126, 0.0722)}
_UNSPECIFIED_SPACE, _FULL_RANGE = 2, 2


def can_be_patched(decoded: Any, size: tuple[int, int], turned: bool, colour: dict[str, int]) -> bool:
    """Whether the planes are those that will be encoded: 8 bit, 4:2:0, even, upright, of a known colour space.

    `size`, `turned` (or mirrored) and `colour` are the video's, `size` as (width, height). A stream may change
    midway.
    """
    space = colour.get("colorspace", _UNSPECIFIED_SPACE)
    return (
        decoded.format.name == "yuv420p"
        and (decoded.width, decoded.height) == size
        and decoded.width % 2 == 0
        and decoded.height % 2 == 0
        and not turned
        and _FULL_RANGE not in (colour.get("color_range"), decoded.color_range)
        and space in _SHARES
        # What a frame does not say is what the video says.
        and (decoded.colorspace == _UNSPECIFIED_SPACE or _SHARES.get(decoded.colorspace) == _SHARES[space])
    )


def patched(decoded: Any, image: Image, regions: NDArray[np.float32], colour: dict[str, int]) -> Any:
    """A new frame: `decoded`, with what the RGB `image` shows in `regions` (N, 4, xyxy, pixels)."""
    height, width = image.shape[:2]
    planes = np.ascontiguousarray(decoded.to_ndarray())
    luma, chroma = planes[:height], planes[height:].reshape(2, height // 2, width // 2)
    matrix = _matrix(colour.get("colorspace", _UNSPECIFIED_SPACE))
    for region in regions:
        # Samples of chroma cover two pixels each way.
        left, top = (int(v) // 2 * 2 for v in np.floor(region[:2]).clip(0, (width, height)))
        right, bottom = (-(-int(v) // 2) * 2 for v in np.ceil(region[2:]).clip(0, (width, height)))
        if right <= left or bottom <= top:
            continue
        yuv = cv2.transform(image[top:bottom, left:right], matrix)
        luma[top:bottom, left:right] = yuv[..., 0]
        half = ((right - left) // 2, (bottom - top) // 2)
        small = cv2.resize(yuv[..., 1:], half, interpolation=cv2.INTER_AREA)
        chroma[:, top // 2 : bottom // 2, left // 2 : right // 2] = small.transpose(2, 0, 1)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def _matrix(space: int) -> NDArray[np.float64]:
    """(3, 4): RGB 0-255 to Y 16-235 and U, V 16-240 (ITU-R BT.601, 2.5.3; BT.709, 3)."""
    red, blue = _SHARES[space]
    luma = np.array([red, 1 - red - blue, blue])
    u, v = ((np.eye(3)[axis] - luma) / (2 - 2 * share) for axis, share in ((2, blue), (0, red)))
    scaled = np.stack([luma * 219, u * 224, v * 224]) / 255
    return np.concatenate([scaled, [[16], [128], [128]]], axis=1)
