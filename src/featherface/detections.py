"""The result of looking at one picture: boxes, scores, landmarks, in its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import FeatherFaceError

_Array = NDArray[np.float32]

LANDMARKS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
"""The five points in their order; left and right as seen in the picture."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Faces found in a picture of `width` x `height` pixels, best score first."""

    boxes: _Array
    """(N, 4) xyxy."""
    scores: _Array
    """(N,) in [0, 1]."""
    landmarks: _Array
    """(N, 5, 2), in the order of LANDMARKS."""
    width: int
    height: int

    def __post_init__(self) -> None:
        n = len(self.scores)
        shapes = {"boxes": (n, 4), "scores": (n,), "landmarks": (n, 5, 2)}
        for name, shape in shapes.items():
            array = np.asarray(getattr(self, name), np.float32)
            if array.shape != shape:
                raise ValueError(f"{name} have shape {array.shape}, not {shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} hold values that are not finite")
            object.__setattr__(self, name, array)
        order = np.argsort(-self.scores, kind="stable")
        for name in shapes:
            object.__setattr__(self, name, getattr(self, name)[order])

    @classmethod
    def empty(cls, width: int, height: int) -> Detections:
        """No faces."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)), width, height)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.scores)

    def filter(
        self,
        mask: NDArray[np.bool_] | None = None,
        *,
        score_threshold: float = 0.0,
        min_size: float = 0.0,
        max_detections: int | None = None,
    ) -> Detections:
        """Those in `mask` (N,), of at least this score, whose shorter side has at least `min_size` pixels."""
        kept = self.scores >= score_threshold
        kept &= (self.boxes[:, 2:] - self.boxes[:, :2]).min(1, initial=np.inf) >= min_size
        if mask is not None:
            kept &= np.asarray(mask, bool)
        chosen = np.flatnonzero(kept)[:max_detections]
        return Detections(
            self.boxes[chosen], self.scores[chosen], self.landmarks[chosen], self.width, self.height
        )

    def scaled(self, factor: float) -> Detections:
        """The same faces in the picture enlarged by `factor`."""
        return Detections(
            self.boxes * np.float32(factor),
            self.scores,
            self.landmarks * np.float32(factor),
            round(self.width * factor),
            round(self.height * factor),
        )

    def to_dict(self) -> list[dict[str, Any]]:
        """The faces as plain values: box [x1, y1, x2, y2], score, landmarks [[x, y] x 5]."""
        return [
            {
                "box": [round(float(v), 2) for v in box],
                "score": round(float(score), 5),
                "landmarks": [[round(float(v), 2) for v in point] for point in points],
            }
            for box, score, points in zip(self.boxes, self.scores, self.landmarks, strict=True)
        ]

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of the RGB picture with boxes, scores and landmarks drawn in."""
        from featherface.draw import draw_detections

        return draw_detections(image, self)

    def crops(self, image: NDArray[np.uint8], size: int = 112) -> list[NDArray[np.uint8]]:
        """Each face cut out of the RGB picture and aligned by its landmarks, (size, size, 3)."""
        from featherface.crops import aligned_crop

        return [aligned_crop(image, points, size) for points in self.landmarks]

    def to_supervision(self) -> Any:
        """The same as `supervision.Detections`, landmarks under data["landmarks"]."""
        try:
            import supervision
        except ImportError as error:
            raise FeatherFaceError("supervision is not installed: pip install supervision") from error
        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=np.zeros(len(self), int),
            data={"landmarks": self.landmarks, "class_name": np.array(["face"] * len(self))},
        )


def concatenate(parts: Sequence[Detections], width: int, height: int) -> Detections:
    """All faces of several passes over one picture, without suppression."""
    return Detections(
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.scores for p in parts]),
        np.concatenate([p.landmarks for p in parts]),
        width,
        height,
    )
