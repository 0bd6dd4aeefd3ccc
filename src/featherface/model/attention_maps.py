"""Coordinate Attention made visible: where along each axis a network looks, per level."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from featherface.errors import ModelError
from featherface.images import PAD_MULTIPLE, to_input
from featherface.model.attention import CoordinateAttention
from featherface.model.network import FeatherFace

_BGR_MEAN = torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)


def coordinate_gates(
    model: FeatherFace, image: NDArray[np.uint8]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Per level, the mean over channels of the vertical gate (H/s,) and of the horizontal gate (W/s,).

    ModelError when the network has no Coordinate Attention after its neck.
    """
    if model.config.neck_attention != "coordinate":
        raise ModelError(f"{model.config.name} has no Coordinate Attention to show")
    gates: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, CoordinateAttention)
        a_h, a_w = module.gates(inputs[0])
        gates.append((a_h.mean(1).flatten().numpy(), a_w.mean(1).flatten().numpy()))

    hooks = [
        module.register_forward_pre_hook(keep)
        for module in model.neck_attention.modules()
        if isinstance(module, CoordinateAttention)
    ]
    with torch.no_grad():
        model.eval()(torch.from_numpy(to_input(image, PAD_MULTIPLE)).flip(1) - _BGR_MEAN)
    for hook in hooks:
        hook.remove()
    return gates


def draw_gates(
    image: NDArray[np.uint8],
    gates: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    strides: tuple[int, ...],
) -> NDArray[np.uint8]:
    """One row a level: the picture under its vertical gate, its horizontal gate, and their product (RGB)."""
    height, width = image.shape[:2]
    rows = []
    for (vertical, horizontal), stride in zip(gates, strides, strict=True):
        down = _stretched(vertical[:, None], stride, height, width)
        across = _stretched(horizontal[None], stride, height, width)
        maps = (("vertical", down), ("horizontal", across), ("product", down * across))
        rows.append(np.hstack([_panel(image, gate, f"stride {stride}, {title}") for title, gate in maps]))
    return np.vstack(rows)


def _stretched(gate: NDArray[np.float32], stride: int, height: int, width: int) -> NDArray[np.float32]:
    cells = np.broadcast_to(
        gate, (max(gate.shape[0], -(-height // stride)), max(gate.shape[1], -(-width // stride)))
    )
    full = np.repeat(np.repeat(cells, stride, 0), stride, 1)[:height, :width]
    return np.asarray(cv2.GaussianBlur(full, (0, 0), stride / 2), np.float32)


def _overlay(image: NDArray[np.uint8], gate: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = float(gate.min()), float(gate.max())
    level = ((gate - low) / max(high - low, 1e-6) * 255).astype(np.uint8)
    colour = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.addWeighted(image, 0.55, colour, 0.45, 0), np.uint8)


def _panel(image: NDArray[np.uint8], gate: NDArray[np.float32], title: str) -> NDArray[np.uint8]:
    """The picture under a gate; a strip at the top says which and from where (blue) to where (red) it goes."""
    panel = _overlay(image, gate)
    text = f"{title}: {gate.min():.3f} to {gate.max():.3f}"
    scale = panel.shape[1] / 700
    (_, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    panel[: 2 * height + base] = 32
    place = (height, height + height // 2 + base // 2)
    cv2.putText(panel, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return panel
