"""The peers' own pre- and post-processing, as their documentation describes it, around ONNX Runtime.

Written from the descriptions (RetinaFace: Deng 2020; YuNet: Wu 2023; SCRFD: Guo 2022; EResFD: Jeong 2024;
Ultra-Light RFB and YOLOv5-face: their repositories' readmes), on the detector's own priors, decode and NMS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from featherface import Detections
from featherface.boxes import decode_boxes, nms
from featherface.errors import ModelError
from featherface.evaluate.compare import Candidate
from featherface.evaluate.onnx_size import free_size, onnx_size
from featherface.images import Image
from featherface.priors import prior_boxes

Array = NDArray[np.float32]
Found = tuple[Array, Array]
"""Boxes (N, 4) as corners in pixels, scores (N,)."""

MOST, CANDIDATES = 750, 5000
MEAN = np.array([104, 117, 123], np.float32)
VARIANCES = (0.1, 0.2)


@dataclass(frozen=True)
class Peer:
    """How one peer wants its pictures and what its outputs mean."""

    parameters: int
    normalise: Callable[[Image], Array]
    decode: Callable[[Sequence[Array], int, int, float], Found]
    """Outputs, height, width, lowest score."""
    nms: float
    pad: int = 1


def bgr(image: Image) -> Array:
    """0-255 in OpenCV's order."""
    return image[..., ::-1].astype(np.float32)


def bgr_less_mean(image: Image) -> Array:
    """RetinaFace's normalisation."""
    return bgr(image) - MEAN


def swapped_less_mean(image: Image) -> Array:
    """EResFD's: RetinaFace's, then the channels swapped."""
    return bgr_less_mean(image)[..., ::-1]


def scaled(shift: float, factor: float) -> Callable[[Image], Array]:
    """RGB, (x - shift) / factor."""
    return lambda image: (image.astype(np.float32) - np.float32(shift)) / np.float32(factor)


def with_priors(
    outputs: Sequence[Array],
    height: int,
    width: int,
    lowest: float,
    strides: Sequence[int],
    sizes: Sequence[Sequence[int]],
    tall: float = 1.0,
) -> Found:
    """Single-shot detectors over priors: deltas, then class probabilities (Liu 2016)."""
    priors = prior_boxes(height, width, strides, sizes)
    if tall != 1:
        priors = priors * np.array([1, 1, 1, tall], np.float32)
    scores = outputs[1][0, :, 1]
    likely = scores >= lowest
    return decode_boxes(outputs[0][0][likely], priors[likely], VARIANCES), scores[likely]


def yunet(outputs: Sequence[Array], height: int, width: int, lowest: float) -> Found:
    """Per stride a box relative to the cell's corner; the score is sqrt(class x objectness)."""
    boxes, scores = [], []
    for level, stride in enumerate((8, 16, 32)):
        classes, objects, deltas = (outputs[level + 3 * kind][0] for kind in range(3))
        score = np.sqrt(classes.clip(0, 1) * objects.clip(0, 1))[:, 0]
        likely = score >= lowest
        corner = cells(height, width, stride, 1)[likely]
        centre = corner + deltas[likely, :2] * stride
        half = np.exp(deltas[likely, 2:]) * stride / 2
        boxes.append(np.concatenate([centre - half, centre + half], 1))
        scores.append(score[likely])
    return np.concatenate(boxes), np.concatenate(scores)


def scrfd(outputs: Sequence[Array], height: int, width: int, lowest: float) -> Found:
    """Per stride, twice a cell, the distances from the cell's corner to the four sides."""
    boxes, scores = [], []
    for level, stride in enumerate((8, 16, 32)):
        score = outputs[level].reshape(-1)
        likely = score >= lowest
        corner = cells(height, width, stride, 2)[likely]
        sides = outputs[level + 3].reshape(-1, 4)[likely] * stride
        boxes.append(np.concatenate([corner - sides[:, :2], corner + sides[:, 2:]], 1))
        scores.append(score[likely])
    return np.concatenate(boxes), np.concatenate(scores)


YOLO_ANCHORS = (
    ((4, 5), (8, 10), (13, 16)),
    ((23, 29), (43, 55), (73, 105)),
    ((146, 217), (231, 300), (335, 433)),
)


def yolov5(outputs: Sequence[Array], height: int, width: int, lowest: float) -> Found:
    """YOLOv5 heads: per cell and anchor box, objectness, landmarks, class."""
    boxes, scores = [], []
    for raw, stride, anchors in zip(outputs, (8, 16, 32), YOLO_ANCHORS, strict=True):
        values = raw.reshape(3, 16, height // stride, width // stride).transpose(2, 3, 0, 1).reshape(-1, 16)
        score = sigmoid(values[:, 4]) * sigmoid(values[:, 15])
        likely = score >= lowest
        corner = cells(height, width, stride, 3)[likely]
        anchor = np.tile(np.array(anchors, np.float32), (len(values) // 3, 1))[likely]
        part = sigmoid(values[likely, :4])
        centre = corner + (part[:, :2] * 2 - 0.5) * stride
        half = (part[:, 2:] * 2) ** 2 * anchor / 2
        boxes.append(np.concatenate([centre - half, centre + half], 1))
        scores.append(score[likely])
    return np.concatenate(boxes), np.concatenate(scores)


def cells(height: int, width: int, stride: int, each: int) -> Array:
    """Upper left corners (N, 2) of the grid's cells in pixels, row-major, every one `each` times."""
    x, y = np.meshgrid(np.arange(width // stride), np.arange(height // stride))
    corners = np.stack([x, y], -1).reshape(-1, 2).astype(np.float32) * stride
    return np.repeat(corners, each, 0)


def sigmoid(x: Array) -> Array:
    """The logistic function."""
    return 1 / (1 + np.exp(-x))


RETINA = partial(with_priors, strides=(8, 16, 32), sizes=((16, 32), (64, 128), (256, 512)))
ERESFD = partial(
    with_priors,
    strides=(4, 8, 16, 32, 64, 128),
    sizes=((16,), (32,), (64,), (128,), (256,), (512,)),
    tall=1.25,
)
ULFD = partial(
    with_priors, strides=(8, 16, 32, 64), sizes=((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))
)

PEERS = {
    "yunet_n": Peer(75_856, bgr, yunet, 0.45, pad=32),
    "yunet_s": Peer(54_608, bgr, yunet, 0.45, pad=32),
    "scrfd_500m": Peer(626_322, scaled(127.5, 128), scrfd, 0.45, pad=32),
    "retinaface_mnet025": Peer(426_608, bgr_less_mean, RETINA, 0.4),
    "eresfd": Peer(92_208, swapped_less_mean, ERESFD, 0.3),
    "ulfd_rfb640": Peer(276_292, scaled(127, 128), ULFD, 0.3, pad=64),
    "yolov5n05_face": Peer(442_488, scaled(0, 255), yolov5, 0.5, pad=32),
}


def candidate(name: str, folder: Path) -> Candidate:
    """The peer `name`, its file read from `folder`; ModelError when it is not there."""
    peer, file = PEERS[name], folder / f"{name}.onnx"
    if not file.is_file():
        raise ModelError(f"{file}: no such file")
    model = onnx.load(file)
    free_size(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name_of_input = session.get_inputs()[0].name

    def prepare(image: Image) -> Callable[[], object]:
        images = to_input(peer, image)
        return lambda: session.run(None, {name_of_input: images})

    def detect(image: Image, lowest: float) -> Detections:
        height, width = image.shape[:2]
        images = to_input(peer, image)
        outputs = session.run(None, {name_of_input: images})
        boxes, scores = peer.decode(outputs, *images.shape[2:], lowest)
        best = np.argsort(-scores, kind="stable")[:CANDIDATES]
        boxes, scores = boxes[best], scores[best]
        kept = nms(boxes, scores, peer.nms, MOST)
        boxes = boxes[kept].clip(0, np.array([width, height] * 2, np.float32))
        nowhere = np.zeros((len(kept), 5, 2), np.float32)
        return Detections(boxes, scores[kept], nowhere, width, height)

    return Candidate(name, detect, prepare, file, peer.parameters, onnx_size(file)[1])


def to_input(peer: Peer, image: Image) -> Array:
    """(1, 3, H, W): normalised, then padded with zeros to the right and below."""
    values = peer.normalise(image)
    bottom, right = (-side % peer.pad for side in values.shape[:2])
    padded = np.pad(values, ((0, bottom), (0, right), (0, 0)))
    return np.ascontiguousarray(padded.transpose(2, 0, 1)[None])
