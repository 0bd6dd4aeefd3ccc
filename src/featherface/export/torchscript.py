"""TorchScript: traced with plain operators."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from featherface.export.check import Run
from featherface.export.options import Options
from featherface.export.portable import portable, trace
from featherface.export.torchvision_op import with_scripted_op
from featherface.model.network import FeatherFace


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
