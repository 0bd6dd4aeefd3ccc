"""ONNX: the plain file, one input size, decoding and suppression inside, half-size weights, int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from featherface.export.check import Run
from featherface.export.onnx import export_onnx
from featherface.export.onnx_graph import build
from featherface.export.options import Options
from featherface.export.portable import DECODED_OUTPUTS
from featherface.model.network import FeatherFace


def check_installed(options: Options) -> None:
    """Nothing beyond what the torch network itself needs."""


def convert(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the file."""
    if options.precision == "int8":
        from featherface.export.int8 import convert_int8  # its packages take long to import

        convert_int8(model, target, options)
    elif options.precision == "fp32" and not options.decodes and options.input_size is None:
        export_onnx(model, target)
    else:
        onnx.save(build(model, options), target)


def runner(path: Path, options: Options) -> Run:
    """The file in ONNX Runtime."""
    if not options.decodes:
        from featherface.runtime import OnnxSession

        return OnnxSession(path, threads=1).run
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(images: Any) -> Any:
        return tuple(session.run(list(DECODED_OUTPUTS), {"images": images}))

    return run
