"""The network as shipped, in plain operators that every converter knows, and decoding as part of it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from featherface.export.options import DEFAULT_SIZE, Options
from featherface.export.rewrites import class_difference, fold_shuffles, replace
from featherface.model.attention import CoordinateAttention
from featherface.model.config import ModelConfig
from featherface.model.fold import folded
from featherface.model.layers import DeformableConv2d
from featherface.model.network import FeatherFace

RAW_OUTPUTS = ("scores", "box_deltas", "landmark_deltas")
DECODED_OUTPUTS = ("scores", "boxes", "landmarks")
_RGB_MEAN = (123.0, 117.0, 104.0)


class Portable(nn.Module):
    """RGB 0-255 in, `(scores (B, P), box_deltas (B, P, 4), landmark_deltas (B, P, 10))` out.

    The same function as the ONNX file, but arranged for converters, not for one runtime's kernels: batch norm
    folded, the channel swap in the stem's weights and the shuffles in those after them, softmax as the sigmoid of
    a difference, Coordinate Attention without concatenation and split (sizes would become constants there).
    """

    def __init__(self, model: FeatherFace) -> None:
        super().__init__()
        self.network = folded(model)
        stem = self.network.backbone.stage1[0][0]  # type: ignore[index]
        with torch.no_grad():
            stem.weight.copy_(stem.weight.flip(1))
        for head in self.network.heads:
            head.classes = class_difference(head.classes)  # type: ignore[arg-type]
        fold_shuffles(self.network)
        replace(self.network, CoordinateAttention, _EachAxis)
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(_RGB_MEAN).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.network.features(images - self.mean)
        parts = []
        for head, x in zip(self.network.heads, maps, strict=True):
            batch = x.shape[0]
            logits = head.classes(x).permute(0, 2, 3, 1).reshape(batch, -1)  # type: ignore[operator]
            boxes = head.boxes(x).permute(0, 2, 3, 1).reshape(batch, -1, 4)  # type: ignore[operator]
            landmarks = head.landmarks(x).permute(0, 2, 3, 1).reshape(batch, -1, 10)  # type: ignore[operator]
            parts.append((logits, boxes, landmarks))
        logits, boxes, landmarks = (torch.cat(tensors, 1) for tensors in zip(*parts, strict=True))
        return torch.sigmoid(logits), boxes, landmarks


class Decoded(nn.Module):
    """A shipped network with priors and decoding inside.

    RGB 0-255 in; `scores (B, P)`, `boxes (B, P, 4)` as xyxy and `landmarks (B, P, 10)` in input pixels out.
    `input_size` (height, width) makes the priors a constant; else they are computed from the input's size.
    With `keep_deltas` the network's own `box_deltas (B, P, 4)` and `landmark_deltas (B, P, 10)` come out, too.
    """

    def __init__(
        self,
        network: nn.Module,
        config: ModelConfig,
        input_size: tuple[int, int] | None,
        keep_deltas: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.config, self.keep_deltas = network, config, keep_deltas
        self.centres: Tensor | None
        self.sizes: Tensor | None
        centres, sizes = (None, None) if input_size is None else _priors(*input_size, config)
        self.register_buffer("centres", centres)
        self.register_buffer("sizes", sizes)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        scores, box_deltas, landmark_deltas = self.network(images)
        centres, sizes = self.centres, self.sizes
        if centres is None or sizes is None:
            centres, sizes = _priors(images.shape[2], images.shape[3], self.config)
        centre_scale, size_scale = self.config.variances
        # No torch.split: XNNPACK has none, and an int8 graph that is cut there does not run.
        shift, growth = box_deltas[..., :2], box_deltas[..., 2:]
        middle = centres[..., :2] + shift * (centre_scale * sizes[..., :2])
        half = torch.exp(growth * size_scale) * (sizes[..., :2] / 2)
        boxes = torch.cat((middle - half, middle + half), 2)
        landmarks = centres + landmark_deltas * (centre_scale * sizes)
        deltas = (box_deltas, landmark_deltas) if self.keep_deltas else ()
        return scores, boxes, landmarks, *deltas


def portable(model: FeatherFace, options: Options) -> nn.Module:
    """The network to convert, with decoding inside when asked."""
    network: nn.Module = Portable(model)
    return Decoded(network, model.config, options.input_size).eval() if options.decodes else network


def trace(network: nn.Module, options: Options) -> Any:
    """The network traced, where TorchScript, ncnn and OpenVINO start; sizes stay free where the operators allow it."""
    height, width = options.input_size or DEFAULT_SIZE
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's own deprecation, and its doubts about shapes
        return torch.jit.trace(network, torch.zeros(1, 3, height, width), check_trace=False)  # type: ignore[no-untyped-call]


def is_deformable(model: nn.Module) -> bool:
    """Whether the network has deformable convs, which many runtimes lack."""
    return any(isinstance(module, DeformableConv2d) for module in model.modules())


class _EachAxis(nn.Module):
    """`CoordinateAttention` with its shared 1x1 conv applied to each axis alone, which is the same function."""

    def __init__(self, attention: CoordinateAttention) -> None:
        super().__init__()
        self.shared, self.act = attention.shared, attention.act
        self.conv_h, self.conv_w = attention.conv_h, attention.conv_w

    def forward(self, x: Tensor) -> Tensor:
        along_h = self.act(self.shared(x.mean(3, keepdim=True)))
        along_w = self.act(self.shared(x.mean(2, keepdim=True)))
        return x * torch.sigmoid(self.conv_h(along_h)) * torch.sigmoid(self.conv_w(along_w))


def _priors(height: int, width: int, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """`featherface.priors.prior_boxes` in torch, five times over: centres and sizes (1, P, 10) in pixels."""
    levels = [
        _level(height // stride, width // stride, stride, sizes)
        for stride, sizes in zip(config.strides, config.prior_sizes, strict=True)
    ]
    centres, sizes = torch.split(torch.cat(levels), [2, 2], dim=1)
    return torch.cat([centres] * 5, 1)[None], torch.cat([sizes] * 5, 1)[None]


def _level(rows: int, columns: int, stride: int, sizes: Sequence[int]) -> Tensor:
    across = ((torch.arange(columns) + 0.5) * stride).view(1, -1, 1, 1).expand(rows, columns, len(sizes), 1)
    down = ((torch.arange(rows) + 0.5) * stride).view(-1, 1, 1, 1).expand(rows, columns, len(sizes), 1)
    sides = torch.tensor(sizes, dtype=torch.float32).view(1, 1, -1, 1).expand(rows, columns, len(sizes), 1)
    return torch.cat((across, down, sides, sides), 3).reshape(-1, 4)
