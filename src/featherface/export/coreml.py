"""Core ML (.mlpackage), converted by coremltools through torch.export; it runs on Apple systems only."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch

from featherface.errors import ModelError
from featherface.export.options import DEFAULT_SIZE, Options
from featherface.export.portable import DECODED_OUTPUTS, RAW_OUTPUTS, portable
from featherface.export.versions import require
from featherface.model.network import FeatherFace


def check_installed(options: Options) -> None:
    """MissingExtraError or ModelError when what this needs is not there."""
    require("coremltools", "coreml", "8.0")


def convert(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the package, a folder."""
    import coremltools

    sample = torch.zeros(1, 3, *(options.input_size or DEFAULT_SIZE))
    precision = coremltools.precision
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.export.export(portable(model, options), (sample,)).run_decompositions({})
        converted = coremltools.convert(
            program,
            inputs=[coremltools.TensorType("images", sample.shape)],
            outputs=[coremltools.TensorType(name) for name in _names(options)],
            minimum_deployment_target=coremltools.target.iOS16,
            compute_precision=precision.FLOAT16 if options.precision == "fp16" else precision.FLOAT32,
        )
        converted.save(str(target))


def check_structure(path: Path, options: Options) -> str:
    """What was looked at in place of a run; ModelError when inputs or outputs are not as they should be."""
    import coremltools

    about: Any = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec().description
    height, width = options.input_size or DEFAULT_SIZE
    inputs = {value.name: list(value.type.multiArrayType.shape) for value in about.input}
    if inputs != {"images": [1, 3, height, width]}:
        raise ModelError(f"Core ML file: its inputs are {inputs}")
    outputs = {value.name for value in about.output}
    if outputs != set(_names(options)):
        raise ModelError(f"Core ML file: its outputs are {sorted(outputs)}")
    return "not run: featherface does not run Core ML; inputs and outputs checked"


def _names(options: Options) -> tuple[str, ...]:
    return DECODED_OUTPUTS if options.decodes else RAW_OUTPUTS
