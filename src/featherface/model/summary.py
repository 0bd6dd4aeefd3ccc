"""Parameters and multiply-adds of a network, part by part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from featherface.model.layers import DeformableConv2d
from featherface.model.network import FeatherFace, count_parameters

_TITLES = {
    "backbone": "MobileNetV1 x0.25",
    "backbone_attention": "attention on the backbone's maps",
    "neck": "BiFPN",
    "neck_attention": "attention on the neck's maps",
    "context": "SSH",
    "head_attention": "attention before the heads",
    "shuffle": "channel shuffle",
    "refine_p3": "refinement of P3",
    "heads": "heads: class, box, landmarks",
}


@dataclass(frozen=True)
class Part:
    """One part of a network."""

    name: str
    title: str
    parameters: int
    multiply_adds: int
    """Of convs and linears, for one picture."""
    shapes: tuple[tuple[int, ...], ...]
    """(C, H, W) of what it gives, level by level."""


def summarise(model: FeatherFace, height: int = 640, width: int = 640) -> list[Part]:
    """The parts in the order of the data; those without an own effect are left out."""
    counted: dict[nn.Module, int] = {}
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
    handles = [m.register_forward_hook(_count_into(counted)) for m in model.modules() if _is_counted(m)]
    for name in _TITLES:
        part = getattr(model, name)
        for i, child in enumerate(part if isinstance(part, nn.ModuleList) else [part]):
            if child is not None:
                handles.append(child.register_forward_hook(_shape_into(shapes, name, i)))
    training = model.training
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, height, width))
    model.train(training)
    for handle in handles:
        handle.remove()
    parts = []
    for name, title in _TITLES.items():
        part = getattr(model, name)
        if part is None or all(isinstance(m, nn.Identity | nn.ModuleList) for m in part.modules()):
            continue
        operations = sum(counted.get(module, 0) for module in part.modules())
        parts.append(Part(name, title, count_parameters(part), operations, shapes[name]))
    return parts


def _is_counted(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d | nn.Linear | DeformableConv2d)


def _count_into(counted: dict[nn.Module, int]):  # type: ignore[no-untyped-def]
    def hook(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Linear):
            counted[module] = counted.get(module, 0) + module.weight.numel() * output.shape[0]
            return
        # A deformable conv's own weights are used outside its inner module, whose hook therefore never runs.
        conv = module.regular_conv if isinstance(module, DeformableConv2d) else module
        assert isinstance(conv, nn.Conv2d)
        cells = output.shape[0] * output.shape[2] * output.shape[3]
        counted[module] = counted.get(module, 0) + conv.weight.numel() * cells

    return hook


def _shape_into(shapes: dict[str, tuple[tuple[int, ...], ...]], name: str, level: int):  # type: ignore[no-untyped-def]
    def hook(_: nn.Module, __: tuple[object, ...], output: object) -> None:
        maps = output if isinstance(output, list) else [output]
        sizes = tuple(tuple(x.shape[1:]) for x in maps if isinstance(x, Tensor))
        shapes[name] = shapes.get(name, ()) + sizes

    return hook
