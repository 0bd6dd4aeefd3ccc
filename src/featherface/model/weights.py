"""Networks to and from safetensors files: tensors, and the layout as JSON in the metadata."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from featherface.atomic import atomic_path
from featherface.errors import ConfigError, ModelError, one_line
from featherface.model import published
from featherface.model.config import ModelConfig
from featherface.model.fold import affine_of
from featherface.model.network import FeatherFace, build


def save_weights(model: FeatherFace, path: str | Path) -> None:
    """Write the network's tensors and layout, atomically."""
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, {"model_config": json.dumps(dataclasses.asdict(model.config))})


def load_weights(path: str | Path) -> FeatherFace:
    """The network of a safetensors file, in eval mode; ModelError when it is missing, corrupt or foreign."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable safetensors file ({one_line(error)})") from error
    if "model_config" not in metadata:
        raise ModelError(f"{path}: says nothing of its layout; not a featherface weights file")
    try:
        model = build(_config(json.loads(metadata["model_config"])))
        _fill(model, state)
    except (AttributeError, TypeError, ValueError, RuntimeError, ConfigError) as error:
        raise ModelError(f"{path}: its tensors do not fit its layout ({one_line(error)})") from error
    return model.eval()


def _fill(model: FeatherFace, state: dict[str, Tensor]) -> None:
    """Load tensors by name; ValueError, which tells the first that do not fit, where torch lists hundreds."""
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = published.differences_of(model.state_dict(), state)[:3]
        raise ValueError("; ".join(first) or one_line(error)) from error


def load_any(path: str | Path) -> FeatherFace:
    """Our safetensors or a published .pth checkpoint."""
    return load_weights(path) if Path(path).suffix == ".safetensors" else published.load(path)


def unfolded(model: FeatherFace) -> FeatherFace:
    """A network with batch norms that computes what the folded `model` does (see `fold.folded`)."""
    target = build(model.config).eval()
    folded = dict(model.named_modules())
    state = model.state_dict()
    norm_of = {name: module for name, module in target.named_modules() if isinstance(module, nn.BatchNorm2d)}
    previous: dict[str, str] = {}
    last_conv = ""
    for name, module in target.named_modules():
        if isinstance(module, nn.Conv2d):
            last_conv = name
        elif isinstance(module, nn.BatchNorm2d):
            previous[name] = last_conv
    with torch.no_grad():
        for name, tensor in target.state_dict().items():
            if name in state:
                tensor.copy_(state[name])
        for name, norm in norm_of.items():
            if isinstance(folded[name], nn.BatchNorm2d):
                continue
            conv, source = target.get_submodule(previous[name]), folded[previous[name]]
            assert isinstance(conv, nn.Conv2d) and isinstance(source, nn.Conv2d)
            assert source.bias is not None and norm.running_var is not None
            norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
            norm.bias.copy_(source.bias)
            if conv.bias is not None:
                conv.bias.zero_()
            scale, _ = affine_of(norm)
            conv.weight.copy_(source.weight / scale[:, None, None, None])
    return target


def _config(values: dict[str, object]) -> ModelConfig:
    """JSON has lists where the layout has tuples."""
    return ModelConfig(**{key: _tuples(value) for key, value in values.items()})  # type: ignore[arg-type]


def _tuples(value: object) -> object:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
