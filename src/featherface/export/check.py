"""Runs an exported file in its runtime on real photos and compares it with torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from featherface.boxes import decode_boxes, decode_landmarks, iou_matrix, nms
from featherface.errors import ModelError
from featherface.export.options import DEFAULT_SIZE, Options, Precision
from featherface.export.portable import DECODED_OUTPUTS, RAW_OUTPUTS
from featherface.images import Image, read_image, resize, to_input
from featherface.model.fold import folded
from featherface.model.network import PAD_MULTIPLE, FeatherFace
from featherface.priors import prior_boxes

Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
Run = Callable[[NDArray[np.float32]], Arrays]
"""Images (1, 3, H, W), RGB 0-255, to what the file puts out."""

PHOTO = Path(__file__).with_name("faces.jpg")
"""Public domain: Eileen Collins (NASA) and Grace Hopper (US Navy) at many sizes."""

_SEEN = 0.5
_STILL_SEEN = 0.4
_BGR_MEAN = (104.0, 117.0, 123.0)


@dataclass(frozen=True)
class Limits:
    """How far a precision may drift from torch."""

    scores: float
    """Largest difference of any prior's score."""
    iou: float
    """A face counts as matched over this IoU."""
    share: float
    """This share of torch's faces must be matched."""


LIMITS: dict[Precision, Limits] = {
    "fp32": Limits(scores=1e-3, iou=0.95, share=1.0),
    "fp16": Limits(scores=0.1, iou=0.9, share=0.95),
    # Quantization moves single scores far; what it costs is said by AP, not by this check.
    "int8": Limits(scores=1.0, iou=0.75, share=0.8),
}


@dataclass(frozen=True)
class Parity:
    """What the comparison found."""

    pictures: int
    max_difference: dict[str, float]
    """Largest difference of any value, per output."""
    faces: int
    """Torch's faces of score 0.5 and more, after suppression."""
    matched_at_iou_95: int
    """Of those, how many the file has too."""
    matched: int
    """The same at the IoU of this precision's limits."""
    checked: str
    """Where the file was run, or why it was not."""


def compare(run: Run, model: FeatherFace, options: Options, photos: Sequence[Path], where: str) -> Parity:
    """Run the file on the photos; ModelError when it drifts over the limits of its precision."""
    reference = _Reference(model, options)
    names = DECODED_OUTPUTS if options.decodes else RAW_OUTPUTS
    worst = dict.fromkeys(names, 0.0)
    faces = matched_95 = matched = pictures = 0
    limits = LIMITS[options.precision]
    for images, size in _inputs(photos, options.input_size):
        expected, found = reference.run(images), run(images)
        pictures += 1
        if not options.with_nms:
            for name, ours, theirs in zip(names, found, expected, strict=True):
                if ours.shape != theirs.shape:
                    raise ModelError(f"{name} has shape {ours.shape} in {where}, {theirs.shape} in torch")
                # np.maximum, for `max` would drop not-a-number.
                worst[name] = float(np.maximum(worst[name], np.abs(ours - theirs).max()))
        wanted = reference.faces(expected, size, _SEEN)
        there = found[1] if options.with_nms else reference.faces(found, size, _STILL_SEEN)
        overlap = iou_matrix(wanted, there).max(1, initial=0)
        faces += len(wanted)
        matched_95 += int((overlap > 0.95).sum())
        matched += int((overlap > limits.iou).sum())
    parity = Parity(pictures, {} if options.with_nms else worst, faces, matched_95, matched, where)
    _judge(parity, limits)
    return parity


def _judge(parity: Parity, limits: Limits) -> None:
    if not all(np.isfinite(value) for value in parity.max_difference.values()):
        raise ModelError(f"{parity.checked}: puts out values that are not finite; nothing was written")
    difference = parity.max_difference.get("scores", 0.0)
    if difference > limits.scores:
        raise ModelError(
            f"{parity.checked}: scores differ from torch by {difference:.2e}; nothing was written"
        )
    if parity.matched < limits.share * parity.faces:
        raise ModelError(
            f"{parity.checked}: only {parity.matched} of torch's {parity.faces} faces are where torch has them "
            f"(IoU over {limits.iou}); nothing was written"
        )


class _Reference:
    """The torch network itself, before any rewriting for deployment."""

    def __init__(self, model: FeatherFace, options: Options) -> None:
        self.network, self.options = folded(model), options
        self.mean = torch.tensor(_BGR_MEAN).view(1, 3, 1, 1)

    def run(self, images: NDArray[np.float32]) -> Arrays:
        with torch.inference_mode():
            out = self.network(torch.from_numpy(images).flip(1) - self.mean)
            scores = out.class_logits.softmax(-1)[..., 1].numpy()
        raw = (scores, out.box_deltas.numpy(), out.landmark_deltas.numpy())
        return self._decode(raw, images.shape[2:]) if self.options.decodes else raw

    def faces(self, outputs: Arrays, size: tuple[int, ...], threshold: float) -> NDArray[np.float32]:
        """Boxes (N, 4) after suppression."""
        scores, boxes, _ = outputs if self.options.decodes else self._decode(outputs, size)
        likely = scores[0] >= threshold
        boxes, scores = boxes[0][likely], scores[0][likely]
        kept = nms(boxes, scores, self.options.iou_threshold, self.options.max_detections)
        return np.asarray(boxes[kept], np.float32)

    def _decode(self, raw: Arrays, size: tuple[int, ...]) -> Arrays:
        config = self.network.config
        priors = prior_boxes(size[0], size[1], config.strides, config.prior_sizes)
        boxes = decode_boxes(raw[1][0], priors, config.variances)
        landmarks = decode_landmarks(raw[2][0], priors, config.variances)
        return raw[0], boxes[None], landmarks.reshape(1, -1, 10)


def _inputs(
    photos: Sequence[Path], fixed: tuple[int, int] | None
) -> list[tuple[NDArray[np.float32], tuple[int, int]]]:
    """Each photo as the network takes it; where any size goes, also turned and at half its size."""
    inputs = []
    for photo in photos:
        image = read_image(photo)
        if fixed is not None:
            pictures = [_fit(image, fixed)]
        else:
            whole = _fit(image, DEFAULT_SIZE)
            half = resize(whole, whole.shape[1] // 2, whole.shape[0] // 2)
            pictures = [whole, np.ascontiguousarray(half.transpose(1, 0, 2))]
        for picture in pictures:
            images = to_input(picture, PAD_MULTIPLE, fixed)
            inputs.append((images, (images.shape[2], images.shape[3])))
    return inputs


def _fit(image: Image, size: tuple[int, int]) -> Image:
    height, width = image.shape[:2]
    factor = min(size[0] / height, size[1] / width)
    return resize(image, max(1, int(width * factor)), max(1, int(height * factor)))
