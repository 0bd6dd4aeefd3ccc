"""What a network file says of itself."""

from __future__ import annotations

import json
from dataclasses import dataclass

from featherface.errors import ModelError


@dataclass(frozen=True)
class ModelSpec:
    """What a network file says of itself: all that decoding needs."""

    name: str
    strides: tuple[int, ...]
    prior_sizes: tuple[tuple[int, ...], ...]
    variances: tuple[float, float]
    pad_multiple: int
    input_size: tuple[int, int] | None = None
    """Height and width of a network that takes no other; None when it takes any multiple of `pad_multiple`."""
    as_bytes: bool = False
    """Whether inputs are uint8 in the order of a picture (see `featherface.images.input_in`), not float32 in planes."""


def read_spec(about: str, path: str, input_size: tuple[int, int] | None, as_bytes: bool = False) -> ModelSpec:
    """The layout from its JSON, as it stands in an ONNX file's metadata or beside any other model file."""
    try:
        values = json.loads(about)
        if values["format"] != 1:
            raise ModelError(f"{path}: format {values['format']}; this version reads format 1")
        spec = ModelSpec(
            name=str(values["name"]),
            strides=tuple(int(s) for s in values["strides"]),
            prior_sizes=tuple(tuple(int(s) for s in sizes) for sizes in values["prior_sizes"]),
            variances=(float(values["variances"][0]), float(values["variances"][1])),
            pad_multiple=int(values["pad_multiple"]),
            input_size=input_size,
            as_bytes=as_bytes,
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: its featherface metadata cannot be read ({error})") from error
    positive = min((spec.pad_multiple, *spec.strides)) > 0
    if not positive or not spec.strides or len(spec.strides) != len(spec.prior_sizes):
        raise ModelError(f"{path}: its featherface metadata describes no grid of priors")
    return spec
