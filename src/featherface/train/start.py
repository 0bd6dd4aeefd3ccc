"""Where a training starts: fresh weights, ImageNet's backbone, a published checkpoint, or weights of ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from featherface.errors import ConfigError, ModelError
from featherface.model import ModelConfig, preset, published
from featherface.model.network import FeatherFace, build
from featherface.model.transplant import copy_matching, transplant
from featherface.model.weights import load_weights
from featherface.recipe import with_changes
from featherface.zoo import shipped_weights

_FIRST_SCORE = 0.01


def check_start(init: str, model: str, layout: Mapping[str, Any] | None = None) -> str:
    """`init`, with the file of a model that ships in place of its name.

    Raises what `starting_point` would, as far as that can be told without reading files: ConfigError, ModelError.
    """
    if model != "init":
        with_layout(preset(model), layout)
    kind, _, file = init.partition(":")
    start = str(shipped_weights(init) or init)
    weights = Path(start).suffix == ".safetensors"
    if model == "init" and not weights:
        raise ConfigError(f'model = "init" takes the layout of a weights file; init = {init!r} names none')
    if kind in ("imagenet", "published") and not file:
        raise ConfigError(f'init = "{init}": name the file too, "{init}:FILE"')
    if init == "random":
        return init
    if not weights and kind not in ("imagenet", "published"):
        raise ConfigError(
            f"init = {init!r}: must be random, imagenet:<file>, published:<file>, a .safetensors file, or a model "
            "that ships"
        )
    named = start if weights else file
    if not Path(named).is_file():
        raise ModelError(f"init: {named}: no such file")
    return start


def starting_point(
    init: str,
    model: str,
    pictures: Callable[[], Sequence[Tensor]],
    layout: Mapping[str, Any] | None = None,
) -> FeatherFace:
    """The network that `init` describes, in the layout of the preset `model`, or in its own when that is "init".

    `layout` says what is to differ from that, by the names of `ModelConfig`. `pictures` gives normalised inputs
    (1, 3, H, W) when weight surgery needs them. Raises ConfigError for an unknown `init` or an impossible layout,
    ModelError for a file that cannot be read or does not fit.
    """
    init = check_start(init, model, layout)
    loaded = load_weights(init) if Path(init).suffix == ".safetensors" else None
    config = with_layout(loaded.config if loaded is not None and model == "init" else preset(model), layout)
    kind, _, file = init.partition(":")
    if init == "random":
        return expecting_few_faces(build(config))
    if loaded is not None:
        return loaded if loaded.config == config else transplant(loaded, config, pictures())
    if kind == "imagenet":
        return _from_imagenet(expecting_few_faces(build(config)), file)
    return transplant(published.load(file), config, pictures())


def with_layout(config: ModelConfig, layout: Mapping[str, Any] | None) -> ModelConfig:
    """`config` with what a recipe's `[layout]` changes; ConfigError for what is no layout."""
    return with_changes(config, dict(layout or {}), "layout.")


def expecting_few_faces(network: FeatherFace) -> FeatherFace:
    """Fresh heads that give every prior a score of about 0.01 (Lin 2017, "Focal Loss", section 3.3).

    Otherwise half of all priors begin as faces, and the first thousand steps unlearn that.
    """
    half = math.log((1 - _FIRST_SCORE) / _FIRST_SCORE) / 2
    with torch.no_grad():
        for name, bias in network.heads.named_parameters():
            if name.endswith("classes.bias"):
                bias.copy_(torch.tensor([half, -half]).repeat(len(bias) // 2))
    return network


def _from_imagenet(network: FeatherFace, file: str) -> FeatherFace:
    """The backbone of a MobileNetV1 x0.25 classifier."""
    state = {
        ours: tensor
        for name, tensor in published.read_checkpoint(file).items()
        if (ours := published.our_name(f"body.{name}")) is not None and ours.startswith("backbone.")
    }
    if copy_matching(state, network) == 0:
        raise ModelError(f"{file}: no tensor fits the backbone of {network.config.name}")
    return network
