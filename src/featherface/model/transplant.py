"""Weight surgery: a network of another layout that starts from what an existing one has learned.

Tensors of the same name and shape are copied. Where the layouts differ:
- blocks of the backbone that are left out before stride 4 are made up for by those that stay (see `shorten`);
- parts that get wider are widened last (see `widen`), which changes no output;
- a deformable 3x3 becomes the plain 3x3 that best fits its output by least squares, layer after layer, on
  the new network's own inputs (its constant part goes into the batch norm that follows);
- Coordinate Attention in the place of CBAM starts at CBAM's mean gate per channel;
- where backbone or neck have no attention any more, the convs behind it take over its mean gate per channel (`gates`);
- convs of SSH that get fewer inputs keep the best of theirs (`low_rank`);
- refinements start as zero (see `layers.Refinement`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.errors import ModelError
from featherface.model.attention import CoordinateAttention
from featherface.model.config import ModelConfig
from featherface.model.gates import mean_gates, take_over_gates
from featherface.model.layers import DeformableConv2d
from featherface.model.low_rank import with_low_rank
from featherface.model.network import FeatherFace, build
from featherface.model.shorten import is_shorter, shorten
from featherface.model.widen import WIDTHS, check_widening, is_wider, widen

# Convs of SSH by depth: those of one depth see inputs that are already final.
_SSH_DEPTHS = (("conv3", "conv5_1"), ("conv5_2", "conv7_2"), ("conv7_3",))
_RIDGE = 1e-4


def transplant(source: FeatherFace, config: ModelConfig, pictures: Sequence[Tensor]) -> FeatherFace:
    """A network of `config`'s layout that computes nearly what `source` does, before any training.

    `pictures`: normalised inputs (1, 3, H, W) on which the fits are made; two dozen are enough. Raises
    ModelError when nothing of the source fits the new layout, or what is wider cannot be widened.
    """
    source = source.eval()
    if is_shorter(config, source.config):
        return transplant(shorten(source, config, pictures), config, pictures)
    if config.context_inputs != source.config.context_inputs:
        whole = dataclasses.replace(config, context_inputs=source.config.context_inputs)
        return with_low_rank(transplant(source, whole, pictures), config, pictures)
    if is_wider(config, source.config):
        widths = {field: getattr(source.config, field) for field in WIDTHS}
        narrow = dataclasses.replace(config, name=source.config.name, **widths)
        check_widening(narrow, config)
        return widen(transplant(source, narrow, pictures), config)
    student = build(config).eval()
    if copy_matching(source.state_dict(), student) == 0:
        raise ModelError(f"nothing of {source.config.name} fits the layout of {config.name}")
    if config.neck_attention == "coordinate" and source.config.neck_attention == "cbam":
        _start_at_mean_gates(source, student, pictures)
    take_over_gates(source, student, pictures)
    if config.context == "plain" and source.config.context == "deformable":
        for depth in _SSH_DEPTHS:
            _fit_convs(source, student, depth, pictures)
    return student


def copy_matching(theirs: Mapping[str, Tensor], target: nn.Module) -> int:
    """Copy every tensor whose name and shape agree; return how many learnable numbers were copied."""
    copied = 0
    learnable = dict(target.named_parameters())
    with torch.no_grad():
        for name, tensor in target.state_dict().items():
            if name in theirs and theirs[name].shape == tensor.shape:
                tensor.copy_(theirs[name])
                copied += tensor.numel() if name in learnable else 0
    return copied


def _start_at_mean_gates(source: FeatherFace, student: FeatherFace, pictures: Sequence[Tensor]) -> None:
    """Set each Coordinate Attention so that a_h * a_w is CBAM's mean gate, nearly independent of x."""
    gates = mean_gates(source, [b.get_submodule("attention") for b in source.neck_attention], pictures)
    for gate, block in zip(gates, student.neck_attention, strict=True):
        attention = block.attention
        assert isinstance(attention, CoordinateAttention)
        bias = torch.logit(gate.clamp(1e-4, 0.98).sqrt())
        with torch.no_grad():
            for conv in (attention.conv_h, attention.conv_w):
                if conv.bias is None or conv.bias.shape != bias.shape:
                    continue  # of a narrower neck, which holds none of the source's weights
                conv.bias.copy_(bias)
                conv.weight.mul_(0.1)


class _NormalEquations:
    """Accumulates least squares of conv outputs (B, O, H, W) on 3x3 patches of inputs (B, C, H, W)."""

    def __init__(self) -> None:
        self.gram: Tensor | None = None
        self.moment: Tensor | None = None

    def add(self, inputs: Tensor, outputs: Tensor) -> None:
        patches = F.unfold(inputs, 3, padding=1).transpose(1, 2).flatten(0, 1).double()
        patches = torch.cat((patches, patches.new_ones(len(patches), 1)), dim=1)
        targets = outputs.flatten(2).transpose(1, 2).flatten(0, 1).double()
        gram, moment = patches.T @ patches, patches.T @ targets
        self.gram = gram if self.gram is None else self.gram + gram
        self.moment = moment if self.moment is None else self.moment + moment

    def solve(self) -> tuple[Tensor, Tensor]:
        """Conv weight (O, C, 3, 3) and constant (O,)."""
        assert self.gram is not None and self.moment is not None
        ridge = _RIDGE * self.gram.diagonal().mean() * torch.eye(len(self.gram), dtype=torch.float64)
        solution = torch.linalg.solve(self.gram + ridge, self.moment).float()
        weight = solution[:-1].T
        return weight.reshape(weight.shape[0], -1, 3, 3), solution[-1]


def _fit_convs(
    source: FeatherFace, student: FeatherFace, names: Sequence[str], pictures: Sequence[Tensor]
) -> None:
    """Fit the named SSH convs of every level to the source's deformable ones."""
    places = [(level, name) for level in range(3) for name in names]
    seen: dict[tuple[str, int, str], Tensor] = {}
    handles = []
    for level, name in places:
        theirs, ours = getattr(source.context[level], name)[0], getattr(student.context[level], name)[0]
        assert isinstance(theirs, DeformableConv2d) and isinstance(ours, nn.Conv2d)
        handles.append(theirs.register_forward_hook(_keep(seen, ("output", level, name), of_input=False)))
        handles.append(ours.register_forward_hook(_keep(seen, ("input", level, name), of_input=True)))
    equations = {place: _NormalEquations() for place in places}
    with torch.no_grad():
        for picture in pictures:
            source(picture)
            student(picture)
            for place in places:
                equations[place].add(seen["input", *place], seen["output", *place])
    for handle in handles:
        handle.remove()
    for level, name in places:
        weight, constant = equations[level, name].solve()
        block = getattr(student.context[level], name)
        theirs_norm = getattr(source.context[level], name)[1]
        with torch.no_grad():
            block[0].weight.copy_(weight)
            block[1].load_state_dict(theirs_norm.state_dict())
            block[1].running_mean.sub_(constant)


def _keep(seen: dict[tuple[str, int, str], Tensor], key: tuple[str, int, str], of_input: bool):  # type: ignore[no-untyped-def]
    def hook(_: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        seen[key] = inputs[0] if of_input else output

    return hook
