"""Which channels belong together, and which of them matter least."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from featherface.errors import ConfigError
from featherface.model.attention import SpatialGate
from featherface.model.config import CBAM_REDUCTION, ModelConfig
from featherface.model.layers import ShuffleBlock
from featherface.model.neck import BiFPNCell
from featherface.model.network import FeatherFace
from featherface.runtimes.versions import import_failure, refuse_older


@dataclass(frozen=True)
class Width:
    """One free width of a layout: the layer whose filters decide it, and how many channels it has."""

    layer: str
    channels: int


def widths(config: ModelConfig) -> Iterator[Width]:
    """Every width that pruning may change, each with a layer that makes it; several may turn out to be one group."""
    for number, stage in enumerate(config.backbone_widths, 1):
        for i, channels in enumerate(stage):
            stem = number == 1 and i == 0
            yield Width(
                f"backbone.stage{number}.{i}.0" if stem else f"backbone.stage{number}.{i}.1.0", channels
            )
        if config.backbone_attention == "cbam":
            hidden = stage[-1] // CBAM_REDUCTION
            yield Width(f"backbone_attention.{number - 1}.attention.channel.mlp.0", hidden)
    for name in ("p3", "p4", "p5", "p4_again", "p5_again"):
        yield Width(f"neck.cells.0.project.{name}.0", config.width)
    for cell in range(config.neck_cells):
        for name in ("p4_up", "p3_up", "p4_down", "p5_down"):
            yield Width(f"neck.cells.{cell}.{name}.pointwise", config.width)
    for level, channels in enumerate(config.level_widths):
        if config.context_inputs[level]:
            yield Width(f"context.{level}.reduce", config.context_inputs[level])
        yield Width(f"context.{level}.conv3.0", channels // 2)
        for name in ("conv5_1", "conv5_2", "conv7_2", "conv7_3"):
            yield Width(f"context.{level}.{name}.0", channels // 4)
        yield Width(f"shuffle.{level}.reduce.0", channels // 2)
        yield Width(f"shuffle.{level}.expand.0", channels)


class Traced:
    """A copy of a network in a form whose dependencies torch-pruning can follow, and the way back.

    What it cannot follow is taken out of the copy: CBAM's spatial gate, which pools over the channels and so has
    no width; the channel shuffle, which is moved into the 1x1 conv after it; the fusion weights, a number for
    each map, which become constants.
    """

    def __init__(self, model: FeatherFace) -> None:
        pruning = _torch_pruning()
        config = model.config
        if config.context != "plain" or config.shuffle != "block" or config.neck_attention != "coordinate":
            raise ConfigError(
                f"model {config.name}: only layouts like v2 (plain SSH, shuffle block) can be pruned"
            )
        # On the processor: a network in training may be on a card, and what is traced here is one small picture.
        self.network = copy.deepcopy(model).cpu().eval()
        self.gates: dict[str, SpatialGate] = {}
        for name, module in list(self.network.named_modules()):
            if isinstance(module, SpatialGate):
                self.gates[name] = module
                self.network.set_submodule(name, nn.Identity())
            elif isinstance(module, ShuffleBlock):
                reduce = _conv(module.reduce)
                reduce.weight.data = reduce.weight.data[:, unshuffled(reduce.in_channels)]
                parts = OrderedDict(reduce=module.reduce, mix=module.mix, expand=module.expand, act=nn.ReLU())
                self.network.set_submodule(name, nn.Sequential(parts))
            elif isinstance(module, BiFPNCell):
                for weight, value in list(module.named_parameters(recurse=False)):
                    delattr(module, weight)
                    module.register_buffer(weight, value.data)
        images = torch.zeros(1, 3, 64, 64)
        with torch.enable_grad():  # it follows the graph of gradients
            self.graph = pruning.DependencyGraph().build_dependency(self.network, images)
        self.modules = dict(self.network.named_modules())
        self.names = {module: name for name, module in self.modules.items()}
        self.importance = pruning.importance.FPGMImportance(group_reduction="mean", normalizer="mean")
        self.prune_out = pruning.prune_conv_out_channels
        self.prune_linear_out = pruning.prune_linear_out_channels

    def group(self, layer: str, channels: list[int]) -> Any:
        """torch-pruning's group of everything that changes when `channels` of `layer` go."""
        module = self.modules[layer]
        prune = self.prune_linear_out if isinstance(module, nn.Linear) else self.prune_out
        return self.graph.get_pruning_group(module, prune, channels)

    def least(self, layer: str, count: int) -> list[int]:
        """The `count` channels nearest to the geometric median of their filters (He 2019, section 3.3)."""
        module = self.modules[layer]
        assert isinstance(module, nn.Conv2d | nn.Linear)
        scores: Tensor = self.importance(self.group(layer, list(range(module.weight.shape[0]))))
        return sorted(torch.argsort(scores, stable=True)[:count].tolist())


def _torch_pruning() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise import_failure(error, "torch-pruning", "prune", ("torch_pruning",)) from error
    refuse_older("torch-pruning", "prune", "1.5")
    return torch_pruning


def _conv(block: nn.Module) -> nn.Conv2d:
    return next(m for m in block.modules() if isinstance(m, nn.Conv2d))


def shuffled(channels: int) -> list[int]:
    """Which input channel stands at each place after `channel_shuffle`."""
    return torch.arange(channels).reshape(channels // 2, 2).t().reshape(-1).tolist()


def unshuffled(channels: int) -> list[int]:
    """The inverse of `shuffled`: at which place each input channel stands."""
    return torch.argsort(torch.tensor(shuffled(channels))).tolist()
