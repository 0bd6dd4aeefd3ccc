"""What filters that are gone leave behind, put right by least squares before any training.

He 2017 ("Channel pruning for accelerating very deep neural networks", section 3.1): the weights of a conv that lost
inputs are chosen anew so that its outputs come nearest to those before; done layer after layer on the pruned
network's own inputs (asymmetric, section 3.2), errors do not add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.errors import ConfigError
from featherface.model.fold import folded
from featherface.model.network import FeatherFace
from featherface.model.weights import unfolded
from featherface.prune.surgery import makers

_RIDGE = 1e-3
_PLACES = 400
"""Places of a conv's output, in each picture, that it is fitted on."""
_BACKGROUND = 0.05
"""Odds of a place without a face to be among them, beside the odds of 1 where the source is sure of one."""


def refit(
    source: FeatherFace, smaller: FeatherFace, gone: Mapping[str, list[int]], pictures: Sequence[Tensor]
) -> FeatherFace:
    """`smaller`, cut out of `source`, with every conv fitted to what the source's puts out in its place.

    `gone` is what `surgery.doomed` says; `pictures` are normalised inputs (1, 3, H, W) of one size, two dozen with
    faces are enough. Raises ConfigError without any.
    """
    if not pictures:
        raise ConfigError("refit: there are no pictures to fit the pruned network on")
    batch = torch.cat(list(pictures))
    teacher, student = folded(source), folded(smaller)
    wanted = _wanted(teacher, _left(source, gone), batch)

    # One forward: each conv is fitted when its input is there, and the next ones see what it then puts out.
    def fit(conv: nn.Module, inputs: tuple[Tensor], name: str) -> None:
        assert isinstance(conv, nn.Conv2d)
        _fit(conv, inputs[0], *wanted[name])

    for name in wanted:
        student.get_submodule(name).register_forward_pre_hook(partial(fit, name=name))
    with torch.no_grad():
        student(batch)
    return unfolded(student)


def _left(source: FeatherFace, gone: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """For each conv that lost filters, the ones that are left."""
    lost = dict(makers(source, dict(gone)))
    convs = {n: m for n, m in source.named_modules() if isinstance(m, nn.Conv2d) and n in lost}
    return {n: [i for i in range(m.out_channels) if i not in set(lost[n])] for n, m in convs.items()}


def _wanted(
    teacher: FeatherFace, left: Mapping[str, list[int]], pictures: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """For each conv, places (B, N) of its output map and what is put out there (B, N, O)."""
    seen: dict[str, Tensor] = {}

    def keep(_: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str) -> None:
        # A copy, because the activation that follows works in place.
        seen[name] = output.clone()

    handles = [
        module.register_forward_hook(partial(keep, name=name))
        for name, module in teacher.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    with torch.no_grad():
        odds = _odds(teacher, teacher(pictures).class_logits, pictures)
    for handle in handles:
        handle.remove()
    generator = torch.Generator().manual_seed(0)
    wanted = {}
    for name, output in seen.items():
        height, width = output.shape[2:]
        # Pooled maps, of attention, have other axes than the picture: every place alike.
        mapped = height > 1 and width > 1
        likely = (
            F.interpolate(odds, (height, width)).flatten(1)
            if mapped
            else odds.new_ones(len(odds), height * width)
        )
        places = torch.multinomial(likely, min(_PLACES, likely.shape[1]), generator=generator)
        kept = output[:, left[name]] if name in left else output
        wanted[name] = places, _rows(kept.flatten(2), places)
    return wanted


def _odds(teacher: FeatherFace, class_logits: Tensor, pictures: Tensor) -> Tensor:
    """How likely each cell of the finest level is to be fitted on, (B, 1, H, W)."""
    scores = class_logits.softmax(-1)[..., 1]
    height, width = pictures.shape[2:]
    cells = [(-(-height // stride), -(-width // stride)) for stride in teacher.config.strides]
    odds = torch.full((len(pictures), 1, *cells[0]), _BACKGROUND)
    start = 0
    for (rows, columns), sizes in zip(cells, teacher.config.prior_sizes, strict=True):
        count = rows * columns * len(sizes)
        level = scores[:, start : start + count].reshape(-1, 1, rows, columns, len(sizes)).amax(-1)
        odds = odds.maximum(F.interpolate(level, cells[0]))
        start += count
    return odds


def _rows(maps: Tensor, places: Tensor) -> Tensor:
    """The columns (B, N, C) of maps (B, C, HW) at places (B, N)."""
    return maps.gather(2, places[:, None].expand(-1, maps.shape[1], -1)).transpose(1, 2)


def _fit(conv: nn.Conv2d, inputs: Tensor, places: Tensor, outputs: Tensor) -> None:
    """Least squares of `outputs` (B, N, O) on the conv's input patches; the ridge pulls towards the weights it has.

    A depthwise conv is as many small problems as it has channels: all are solved as (groups, samples, unknowns).
    """
    columns = F.unfold(inputs, conv.kernel_size, padding=conv.padding, stride=conv.stride)  # type: ignore[arg-type]
    patches = _rows(columns, places).flatten(0, 1).double()
    patches = patches.reshape(len(patches), conv.groups, -1).transpose(0, 1)
    targets = outputs.flatten(0, 1).double().reshape(patches.shape[1], conv.groups, -1).transpose(0, 1)
    weight = conv.weight.flatten(1).double().reshape(conv.groups, -1, patches.shape[2])
    if conv.bias is not None:
        patches = torch.cat((patches, patches.new_ones(*patches.shape[:2], 1)), 2)
        weight = torch.cat((weight, conv.bias.double().reshape(conv.groups, -1, 1)), 2)
    gram = patches.mT @ patches
    ridge = _RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(gram.shape[1]).double()
    missing = targets - patches @ weight.mT
    weight = weight + torch.linalg.solve(gram + ridge, patches.mT @ missing).mT
    if conv.bias is not None:
        conv.bias.copy_(weight[..., -1].reshape(-1))
        weight = weight[..., :-1]
    conv.weight.copy_(weight.reshape(conv.weight.shape))
