"""The torch network behind the name or path that was given."""

from __future__ import annotations

from pathlib import Path

from featherface.errors import ConfigError
from featherface.model import PRESETS
from featherface.model.network import FeatherFace
from featherface.model.weights import load_any, load_weights
from featherface.zoo import shipped_weights


def load_model(model: str) -> tuple[str, FeatherFace]:
    """What its files are called, and the network; ConfigError or ModelError where there is none."""
    if weights := shipped_weights(model):
        return model, load_weights(weights)
    if model in PRESETS:
        raise ConfigError(f"{model}: a layout whose weights do not ship; name a .safetensors or .pth file")
    return Path(model).stem, load_any(model).eval()
