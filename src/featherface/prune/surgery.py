"""Filters zeroed (soft pruning) and removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import nn

from featherface.errors import ConfigError
from featherface.model.config import ModelConfig
from featherface.model.network import FeatherFace, build
from featherface.prune.groups import Traced, shuffled, widths

_WIDTHS = ("name", "width", "backbone_widths", "context_widths", "context_inputs")


def doomed(model: FeatherFace | Traced, target: ModelConfig) -> dict[str, list[int]]:
    """For each layer that decides a width, the channels that `target` has no room for.

    Tracing takes longer than all else here: who asks more of one network than this traces it once. Raises
    ConfigError when `target` is not `model`'s layout with fewer channels.
    """
    traced = _traced(model)
    chosen: dict[str, list[int]] = {}
    decided: set[str] = set()
    for layer, count in _losses(traced.network.config, target):
        if layer not in decided:
            chosen[layer] = traced.least(layer, count)
            decided.update(name for name, _ in _makers(traced, layer, [0]))
    return chosen


def masked(model: FeatherFace, channels: dict[str, list[int]]) -> FeatherFace:
    """A copy in which these channels are zero wherever they are made (soft filter pruning, He 2018)."""
    result = build(model.config).eval()
    result.load_state_dict(model.state_dict())
    for name, index in makers(model, channels):
        zero(result.get_submodule(name), index)
    return result


def removed(model: FeatherFace, channels: dict[str, list[int]], target: ModelConfig) -> FeatherFace:
    """The network of layout `target` that computes what the masked one does.

    One thing differs: CBAM's largest value over the channels no longer sees the zeros, which matters only where
    all channels that are left are negative.
    """
    traced = Traced(model)
    for layer, gone in channels.items():
        if gone:
            traced.group(layer, gone).prune()
    for name, gate in traced.gates.items():
        # The mean over the channels had the zeros in its denominator.
        level = int(name.split(".")[1])
        share = target.backbone_widths[level][-1] / model.config.backbone_widths[level][-1]
        with torch.no_grad():
            gate.conv.weight[:, 1] *= share
        traced.network.set_submodule(name, gate)
    state = traced.network.state_dict()
    for level, width in enumerate(target.level_widths):
        key = f"shuffle.{level}.reduce.0.weight"
        state[key] = state[key][:, shuffled(width)]
    result = build(target).eval()
    result.load_state_dict(state)
    return result


def zero(module: nn.Module, channels: list[int], weight: bool = True) -> None:
    """Set what a layer puts out on these channels to zero; without `weight`, what it adds alone.

    A folded batch norm, which is an Identity, has neither.
    """
    names = ("weight", "bias") if weight else ("bias",)
    with torch.no_grad():
        for value in (getattr(module, name, None) for name in names):
            if isinstance(value, torch.Tensor):
                value[channels] = 0


def makers(model: FeatherFace | Traced, channels: dict[str, list[int]]) -> list[tuple[str, list[int]]]:
    """Every layer that makes one of these channels, with its indices: what `zero` must be called on."""
    traced = _traced(model)
    return [pair for layer, gone in channels.items() for pair in _makers(traced, layer, gone)]


def _traced(model: FeatherFace | Traced) -> Traced:
    return model if isinstance(model, Traced) else Traced(model)


def _makers(traced: Traced, layer: str, gone: list[int]) -> Iterator[tuple[str, list[int]]]:
    if not gone:
        return
    for dependency, index in traced.group(layer, gone):
        module = dependency.target.module
        makes = isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d)
        if makes and "out" in dependency.handler.__name__ and module in traced.names:
            yield traced.names[module], list(index)


def _losses(config: ModelConfig, target: ModelConfig) -> Iterator[tuple[str, int]]:
    before, after = list(widths(config)), list(widths(target))
    same_layers = [width.layer for width in before] == [width.layer for width in after]
    as_before = dataclasses.replace(target, **{field: getattr(config, field) for field in _WIDTHS})
    if as_before != config or not same_layers:
        raise ConfigError(f"model {target.name}: is not {config.name} with fewer channels")
    for old, new in zip(before, after, strict=True):
        if new.channels > old.channels:
            raise ConfigError(f"{old.layer}: has {old.channels} channels, cannot keep {new.channels}")
        yield old.layer, old.channels - new.channels
