"""Which of a network's parameters learn, and which of them decay."""

from __future__ import annotations

from torch import nn

from featherface.errors import ConfigError
from featherface.model import build, preset
from featherface.model.backbone import STRIDE8_BLOCKS
from featherface.model.network import FeatherFace
from featherface.train.config import TrainConfig
from featherface.train.start import with_layout


def check_trainable(config: TrainConfig) -> None:
    """ConfigError for a name that the layout has no module of; of a file's own layout only `freeze` can tell."""
    if config.trainable and config.model != "init":
        network = build(with_layout(preset(config.model), config.layout))
        for name in config.trainable:
            _module(network, name)


def freeze(model: FeatherFace, config: TrainConfig) -> None:
    """Keep what the recipe wants kept (`trainable`, `freeze_stem`); ConfigError for a module that is not there."""
    if config.trainable:
        model.requires_grad_(False).eval()
        for name in config.trainable:
            _module(model, name).requires_grad_(True).train()
    if config.freeze_stem:
        model.backbone.stage1[:-STRIDE8_BLOCKS].requires_grad_(False).eval()


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay on weights of convs and linears only, not on biases, norms and fusion weights."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _module(model: nn.Module, name: str) -> nn.Module:
    try:
        module = model.get_submodule(name)
    except AttributeError as error:
        raise ConfigError(f"trainable: the network has no module {name!r}") from error
    if next(module.parameters(), None) is None:
        raise ConfigError(f"trainable: {name!r} has nothing that could learn")
    return module
