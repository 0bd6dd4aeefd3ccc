"""Which packages an export needs, and which are there."""

from __future__ import annotations

from importlib import metadata

from featherface import __version__
from featherface.runtimes.versions import require

__all__ = ["installed", "require", "versions"]
_PACKAGES = (
    "torch", "onnx", "onnxruntime", "openvino", "ncnn", "pnnx", "ai-edge-litert", "litert-torch",
    "ai-edge-quantizer", "executorch", "torchao", "coremltools",
)  # fmt: skip


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
