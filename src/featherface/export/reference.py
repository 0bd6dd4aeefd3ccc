"""What torch says of the photos of the check: the network before any rewriting, its values and its faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from featherface.boxes import decode_boxes, decode_landmarks, nms
from featherface.export.options import DEFAULT_SIZE, Options
from featherface.images import PAD_MULTIPLE, Image, read_image, resize, to_input
from featherface.model.fold import folded
from featherface.model.network import FeatherFace
from featherface.priors import prior_boxes

Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
SEEN = 0.5
_BGR_MEAN = (104.0, 117.0, 123.0)
_CROP = 2.0
"""Side of the square cut around a face, in sides of the face."""


def magnitude(values: NDArray[np.float32]) -> float:
    """The size of the largest value, at least 1: what differences are relative to."""
    return max(1.0, float(np.abs(values).max()))


@dataclass(frozen=True)
class Faces:
    """Faces after suppression, best first."""

    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    """(N, 4), corners in input pixels."""
    landmarks: NDArray[np.float32]
    """(N, 5, 2), in input pixels."""

    @classmethod
    def of(cls, outputs: Arrays) -> Faces:
        """What a file with suppression inside puts out."""
        scores, boxes, landmarks = outputs
        return cls(scores, boxes, landmarks.reshape(-1, 5, 2))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def sides(self) -> NDArray[np.float32]:
        """How large each is: the root of its area."""
        size = (self.boxes[:, 2:] - self.boxes[:, :2]).clip(1)
        return np.asarray(np.sqrt(size[:, 0] * size[:, 1]), np.float32)

    def over(self, score: float) -> Faces:
        """Those of at least this score."""
        likely = self.scores >= score
        return Faces(self.scores[likely], self.boxes[likely], self.landmarks[likely])


class Reference:
    """The torch network itself, before any rewriting for deployment."""

    def __init__(self, model: FeatherFace, options: Options) -> None:
        self.network, self.options = folded(model), options
        self.mean = torch.tensor(_BGR_MEAN).view(1, 3, 1, 1)

    def run(self, images: NDArray[np.float32]) -> Arrays:
        """What the file should put out, but for suppression."""
        raw = self._raw(images)
        return self._decode(raw, images.shape[2:]) if self.options.decodes else raw

    def faces(self, outputs: Arrays, images: NDArray[np.float32], threshold: float) -> Faces:
        """The faces in what `run`, or a file without suppression inside, puts out."""
        decoded = outputs if self.options.decodes else self._decode(outputs, images.shape[2:])
        scores, boxes, landmarks = (values[0] for values in decoded)
        likely = scores >= threshold
        scores, boxes, landmarks = scores[likely], boxes[likely], landmarks[likely].reshape(-1, 5, 2)
        kept = nms(boxes, scores, self.options.iou_threshold, self.options.max_detections)
        return Faces(scores[kept], boxes[kept], landmarks[kept])

    def inputs(self, photos: Sequence[Path]) -> list[NDArray[np.float32]]:
        """Each photo as the network takes it; where any size goes, also turned and at half its size.

        An input so small that torch finds no face of the photo in it gets the photo's largest face by itself.
        """
        made = []
        for photo in photos:
            image = read_image(photo)
            if self.options.input_size is None:
                whole = _fit(image, DEFAULT_SIZE)
                half = resize(whole, whole.shape[1] // 2, whole.shape[0] // 2)
                made += [to_input(whole, PAD_MULTIPLE)]
                made += [to_input(np.ascontiguousarray(half.transpose(1, 0, 2)), PAD_MULTIPLE)]
            else:
                made += self._fixed(image, self.options.input_size)
        return made

    def _fixed(self, image: Image, size: tuple[int, int]) -> list[NDArray[np.float32]]:
        whole = to_input(_fit(image, size), PAD_MULTIPLE, size)
        if len(self.faces(self.run(whole), whole, SEEN)):
            return [whole]
        larger = _fit(image, DEFAULT_SIZE)
        seen = to_input(larger, PAD_MULTIPLE)
        raw = self._raw(seen)
        decoded = self._decode(raw, seen.shape[2:])
        likely = decoded[0][0] >= SEEN
        if not likely.any():
            return [whole]
        boxes = decoded[1][0][likely]
        x1, y1, x2, y2 = boxes[(boxes[:, 2:] - boxes[:, :2]).prod(1).argmax()]
        half = _CROP * max(x2 - x1, y2 - y1) / 2
        left, top = (max(0, int(centre - half)) for centre in ((x1 + x2) / 2, (y1 + y2) / 2))
        face = np.ascontiguousarray(larger[top : top + int(2 * half), left : left + int(2 * half)])
        return [whole, to_input(_fit(face, size), PAD_MULTIPLE, size)]

    def _raw(self, images: NDArray[np.float32]) -> Arrays:
        with torch.inference_mode():
            out = self.network(torch.from_numpy(images).flip(1) - self.mean)
            scores = out.class_logits.softmax(-1)[..., 1].numpy()
        return scores, out.box_deltas.numpy(), out.landmark_deltas.numpy()

    def _decode(self, raw: Arrays, size: tuple[int, ...]) -> Arrays:
        config = self.network.config
        priors = prior_boxes(size[0], size[1], config.strides, config.prior_sizes)
        boxes = decode_boxes(raw[1][0], priors, config.variances)
        landmarks = decode_landmarks(raw[2][0], priors, config.variances)
        return raw[0], boxes[None], landmarks.reshape(1, -1, 10)


def _fit(image: Image, size: tuple[int, int]) -> Image:
    height, width = image.shape[:2]
    factor = min(size[0] / height, size[1] / width)
    return resize(image, max(1, int(width * factor)), max(1, int(height * factor)))
