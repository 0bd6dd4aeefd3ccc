"""TorchScript: traced with plain operators; also where the ncnn and OpenVINO conversions start."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from featherface.export.check import Run
from featherface.export.options import DEFAULT_SIZE, Options
from featherface.export.portable import Decoded, Portable
from featherface.export.torchvision_op import with_scripted_op
from featherface.model.network import FeatherFace


def portable(model: FeatherFace, options: Options) -> nn.Module:
    """The network to convert, with decoding inside when asked."""
    network: nn.Module = Portable(model)
    return Decoded(network, model.config, options.input_size).eval() if options.decodes else network


def trace(network: nn.Module, options: Options) -> Any:
    """The traced network; sizes stay free where the operators allow it."""
    height, width = options.input_size or DEFAULT_SIZE
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's own deprecation, and its doubts about shapes
        return torch.jit.trace(network, torch.zeros(1, 3, height, width), check_trace=False)  # type: ignore[no-untyped-call]


def convert(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the file."""
    trace(with_scripted_op(portable(model, options)), options).save(str(target))


def runner(path: Path, options: Options) -> Run:
    """The file in libtorch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.jit.load(str(path))  # type: ignore[no-untyped-call]

    def run(images: Any) -> Any:
        with torch.inference_mode():
            return tuple(output.numpy() for output in network(torch.from_numpy(images)))

    return run
