"""Where a training starts: fresh weights, ImageNet's backbone, a published checkpoint, or weights of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import Tensor

from featherface.errors import ConfigError, ModelError
from featherface.model import preset, published
from featherface.model.network import FeatherFace, build
from featherface.model.transplant import copy_matching, transplant
from featherface.model.weights import load_weights
from featherface.zoo import checked_file, list_models


def check_start(init: str, model: str) -> None:
    """What `starting_point` would refuse without having to read anything; ConfigError or ModelError."""
    if model != "init":
        preset(model)
    kind, _, file = init.partition(":")
    weights = Path(_shipped(init)).suffix == ".safetensors"
    if model == "init" and not weights:
        raise ConfigError(f'model = "init" takes the layout of a weights file; init = {init!r} names none')
    if kind in ("imagenet", "published") and not file:
        raise ConfigError(f'init = "{init}": name the file too, "{init}:FILE"')
    if init == "random":
        return
    if not weights and kind not in ("imagenet", "published"):
        raise ConfigError(
            f"init = {init!r}: must be random, imagenet:<file>, published:<file>, a .safetensors file, or a model "
            "that ships"
        )
    named = file if not weights else _shipped(init)
    if not Path(named).is_file():
        raise ModelError(f"init: {named}: no such file")


def starting_point(init: str, model: str, pictures: Callable[[], Sequence[Tensor]]) -> FeatherFace:
    """The network that `init` describes, in the layout of the preset `model`, or in its own when that is "init".

    `pictures` gives normalised inputs (1, 3, H, W) when weight surgery needs them. Raises ConfigError for
    an unknown `init`, ModelError for a file that cannot be read or does not fit.
    """
    check_start(init, model)
    if model == "init":
        return load_weights(_shipped(init))
    config = preset(model)
    kind, _, file = init.partition(":")
    if init == "random":
        return build(config)
    if Path(_shipped(init)).suffix == ".safetensors":
        loaded = load_weights(_shipped(init))
        return loaded if loaded.config == config else transplant(loaded, config, pictures())
    if kind == "imagenet":
        return _from_imagenet(build(config), file)
    return transplant(published.load(file), config, pictures())


def _shipped(init: str) -> str:
    """The weights file of a model that comes with the package (`v2`), its checksum verified; anything else stays."""
    card = next((card for card in list_models() if card.name == init), None)
    weights = f"{init}.safetensors"
    return str(checked_file(card, weights)) if card is not None and weights in card.files else init


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
