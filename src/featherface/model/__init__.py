"""The FeatherFace networks in torch: presets, published checkpoints, weights in and out."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    from featherface.errors import MissingExtraError

    raise MissingExtraError("torch", "train") from error

from featherface.model.config import PRESETS, ModelConfig, preset
from featherface.model.network import FeatherFace, Predictions, build, count_parameters

__all__ = ["PRESETS", "FeatherFace", "ModelConfig", "Predictions", "build", "count_parameters", "preset"]
