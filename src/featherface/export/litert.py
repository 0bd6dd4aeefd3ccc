"""LiteRT (.tflite), converted by litert-torch through torch.export. One input size, no deformable convs."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch

from featherface.export.check import Run
from featherface.export.options import DEFAULT_SIZE, Options
from featherface.export.portable import portable
from featherface.export.versions import require
from featherface.model.network import FeatherFace


def check_installed(options: Options) -> None:
    """MissingExtraError or ModelError when what this needs is not there."""
    require("litert-torch", "litert-export", "0.8")
    require("ai-edge-litert", "litert", "2.0")
    if options.precision != "fp32":
        require("ai-edge-quantizer", "litert-export", "0.4")


def convert(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the file."""
    import litert_torch

    sample = torch.zeros(1, 3, *(options.input_size or DEFAULT_SIZE))
    with contextlib.redirect_stdout(io.StringIO()):
        converted = litert_torch.convert(portable(model, options), (sample,))
        converted.export(str(target))
    if options.precision != "fp32":
        from featherface.export.int8_litert import quantize

        quantize(target, options)


def runner(path: Path, options: Options) -> Run:
    """The file in LiteRT."""
    if not options.decodes:
        from featherface.runtimes.litert import LiteRtSession

        return LiteRtSession(path, threads=1).run
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()

    def run(images: Any) -> Any:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
        interpreter.invoke()
        outputs = sorted(interpreter.get_output_details(), key=lambda output: str(output["name"]))
        return tuple(interpreter.get_tensor(output["index"]).copy() for output in outputs)

    return run
