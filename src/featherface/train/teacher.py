"""Frozen teachers: any network of ours or a published checkpoint, in ONNX Runtime or in torch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from featherface.errors import ConfigError, one_line
from featherface.model.config import ModelConfig
from featherface.model.fold import folded
from featherface.model.network import FeatherFace
from featherface.model.weights import load_any
from featherface.train.config import DistillConfig
from featherface.train.distill import Teacher, TeacherOutput
from featherface.train.imitate import captured
from featherface.train.losses import prior_grid

_BGR_MEAN = torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
_SMALLEST_SCORE = 1e-6
_TRIED_SIZE = 64

Exporter = Callable[[FeatherFace, Path], object]
"""Writes a network as the ONNX file that the detector runs."""


def normalise(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 RGB to the network's float input: BGR minus (104, 117, 123)."""
    return images.flip(1).float() - _BGR_MEAN.to(images.device)


def make_teacher(config: DistillConfig, export: Exporter, threads: int) -> Teacher:
    """The teacher a recipe names. A checkpoint that is to run in ONNX Runtime is exported first."""
    path = Path(config.teacher)
    if not path.is_file():
        raise ConfigError(f"distill.teacher: {path}: no such file")
    if path.suffix == ".onnx":
        if config.imitation_weight:
            raise ConfigError(
                f"distill.imitation_weight: {path}: the maps of an exported teacher stay inside"
            )
        return _tried(path, threads)
    model = load_any(path)
    if config.runtime == "torch":
        return TorchTeacher(model)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "teacher.onnx"
        export(model, target)
        return OnnxTeacher(target.read_bytes(), threads)


def _tried(path: Path, threads: int) -> OnnxTeacher:
    """The teacher in a file of the user's, asked once; ConfigError when it is no detector of this kind."""
    try:
        teacher = OnnxTeacher(path.read_bytes(), threads)
        logits, boxes, landmarks, _ = teacher(torch.zeros(1, 3, _TRIED_SIZE, _TRIED_SIZE, dtype=torch.uint8))
    except Exception as error:  # ONNX Runtime's errors share no public base class
        raise ConfigError(
            f"distill.teacher: {path}: not a network that can teach ({one_line(error, 160)})"
        ) from error
    count = logits.shape[1]
    if boxes.shape != (1, count, 4) or landmarks.shape != (1, count, 10):
        raise ConfigError(f"distill.teacher: {path}: its outputs are not scores, box and landmark deltas")
    return teacher


def check_teaches(teacher: Teacher, name: str, student: ModelConfig, size: int) -> None:
    """ConfigError unless the teacher looks at crops of side `size` and says as much of them as the student does."""
    try:
        said = teacher(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    except Exception as error:  # ONNX Runtime's errors share no public base class
        reason = one_line(error, 160)
        raise ConfigError(
            f"distill.teacher: {name}: does not take crops of {size}x{size} ({reason})"
        ) from error
    priors, own = said.face_logits.shape[1], len(prior_grid(student, size).strides)
    if priors != own:
        raise ConfigError(
            f"distill.teacher: {name}: {priors} priors in a crop of {size}x{size}, {own} in the student"
        )


class TorchTeacher:
    """A network in eval mode without gradients, on the device of its images."""

    def __init__(self, model: FeatherFace) -> None:
        self.model = folded(model.eval()).requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, images: Tensor) -> TeacherOutput:
        self.model.to(images.device)
        with torch.no_grad(), captured(self.model) as maps:
            logits, boxes, landmarks = self.model(normalise(images))
        return TeacherOutput(logits[..., 1] - logits[..., 0], boxes, landmarks, tuple(maps))


class OnnxTeacher:
    """An exported network in ONNX Runtime; its outputs are on the processor."""

    def __init__(self, graph: bytes, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def __call__(self, images: Tensor) -> TeacherOutput:
        # Four at a time: a whole batch would push the activations out of the cache.
        parts = [
            self.session.run(
                ["scores", "box_deltas", "landmark_deltas"], {"images": chunk.numpy().astype(np.float32)}
            )
            for chunk in torch.split(images.cpu(), 4)
        ]
        scores, boxes, landmarks = (torch.from_numpy(np.concatenate(p)) for p in zip(*parts, strict=True))
        logits = torch.logit(scores, eps=_SMALLEST_SCORE)
        return TeacherOutput(logits, boxes, landmarks)
