"""Which packages an export needs, and which are there."""

from __future__ import annotations

from importlib import metadata

from featherface import __version__
from featherface.export.options import Options
from featherface.runtimes.versions import refuse_older, require

__all__ = ["installed", "refuse_older_converters", "require", "versions"]
_LEAST = {"torch": "2.8", "onnx": "1.18", "onnxscript": "0.5", "onnxslim": "0.1.50"}
"""Of the extra `train`; all but torch matter to what is written as ONNX only."""
_PACKAGES = (
    "torch", "onnx", "onnxscript", "onnxslim", "onnxruntime", "openvino", "ncnn", "pnnx", "ai-edge-litert",
    "litert-torch", "ai-edge-quantizer", "executorch", "torchao", "coremltools",
)  # fmt: skip


def refuse_older_converters(options: Options) -> None:
    """ModelError when torch, or for ONNX one of its packages, is older than what the extra `train` asks for."""
    for package, least in _LEAST.items():
        if package == "torch" or options.suffix.endswith(".onnx"):
            refuse_older(package, "train", least)


def installed(*packages: str) -> dict[str, str]:
    """The versions of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def versions() -> dict[str, str]:
    """Those of all that may have had a hand in an export, this package's first."""
    return {"featherface": __version__, **installed(*_PACKAGES)}
