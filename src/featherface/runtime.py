"""A network file behind one small interface. ONNX Runtime here; other runtimes offer the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from featherface.errors import ModelError, one_line, reason_of
from featherface.images import Input
from featherface.runtimes.card import OPENVINO_ONNX, card_path, checked_spec, is_openvino
from featherface.runtimes.spec import ModelSpec, read_spec
from featherface.runtimes.versions import import_failure, refuse_older

try:
    import onnxruntime
except ImportError as error:
    raise import_failure(error, "onnxruntime", None) from error

_Array = NDArray[np.float32]
_OUTPUTS = ("scores", "box_deltas", "landmark_deltas")
_NOT_RUN = {".pt": "TorchScript", ".mlpackage": "Core ML"}


class Session(Protocol):
    """Runs a network; safe to call from several threads."""

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""

    def run(self, images: Input) -> tuple[_Array, _Array, _Array]:
        """Images to scores (B, P), box deltas (B, P, 4) and landmark deltas (B, P, 10).

        Images are (B, 3, H, W), RGB 0-255, in float32; where `spec.as_bytes`, uint8 saves rounding them.
        """


class OnnxSession:
    """An ONNX file in ONNX Runtime, on the CPU unless other execution providers are named.

    ModelError for a missing, corrupt, truncated or foreign file, for one that is not what the JSON says
    that `featherface export` put beside it, and for an ONNX Runtime that is too old.
    """

    def __init__(
        self,
        path: str | Path,
        threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.path, self.threads, self.providers = Path(path), threads, list(providers)
        refuse_older("onnxruntime", None, "1.25")
        if card_path(self.path).is_file():
            checked_spec(self.path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # Patterns keep a second block of memory for each shape that comes again: no faster here, and photos have many.
        options.enable_mem_pattern = False
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            content = self.path.read_bytes()
            self._session = onnxruntime.InferenceSession(content, options, providers=self.providers)
        except OSError as error:
            raise ModelError(f"{path}: {reason_of(error)}") from error
        except Exception as error:  # ONNX Runtime's errors share no public base class
            raise ModelError(f"{path}: not a readable ONNX model ({one_line(error, 120)})") from error
        self._spec = _spec(self._session, str(path))

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""
        return self._spec

    @property
    def running_on(self) -> list[str]:
        """The execution providers in use; ONNX Runtime leaves out those of `providers` that it cannot start."""
        return list(self._session.get_providers())

    def run(self, images: Input) -> tuple[_Array, _Array, _Array]:
        """See `Session.run`. ModelError when the network does not take such images, or memory runs out."""
        try:
            scores, boxes, landmarks = self._session.run(list(_OUTPUTS), {"images": images})
        except Exception as error:
            shape = "x".join(str(side) for side in images.shape)
            raise ModelError(f"{self.path}: fails on images {shape} ({one_line(error, 120)})") from error
        return scores, boxes, landmarks

    def __reduce__(self) -> tuple[Any, ...]:
        return OnnxSession, (self.path.absolute(), self.threads, self.providers)


def open_session(path: str | Path, threads: int | None = None) -> Session:
    """A model file in the runtime that its suffix names.

    .xml and .openvino.onnx are OpenVINO's, .param ncnn's, .tflite LiteRT's, .pte ExecuTorch's, anything else is
    ONNX Runtime's.

    Raises ModelError for a file that cannot be run, MissingExtraError when its runtime is not installed.
    """
    if is_openvino(path):
        from featherface.runtimes.openvino import OpenVinoSession

        return OpenVinoSession(path, threads)
    match Path(path).suffix.lower():
        case ".pt" | ".mlpackage" as suffix:
            raise ModelError(
                f"{path}: the detector does not run {_NOT_RUN[suffix]} files; export another format"
            )
        case ".pth" | ".safetensors":
            raise ModelError(
                f"{path}: weights, not a network that runs; `featherface export --model` makes one"
            )
        case ".param":
            from featherface.runtimes.ncnn import NcnnSession

            return NcnnSession(path, threads)
        case ".tflite":
            from featherface.runtimes.litert import LiteRtSession

            return LiteRtSession(path, threads)
        case ".pte":
            from featherface.runtimes.executorch import ExecuTorchSession

            return ExecuTorchSession(path, threads)
        case _:
            return OnnxSession(path, threads)


def _spec(session: Any, path: str) -> ModelSpec:
    about = session.get_modelmeta().custom_metadata_map.get("featherface")
    outputs = {output.name for output in session.get_outputs()}
    inputs = {value.name: value for value in session.get_inputs()}
    if about is not None and "boxes" in outputs:
        raise ModelError(f"{path}: decodes by itself, and so does the detector; export without --with-decode")
    if about is None or not outputs.issuperset(_OUTPUTS) or "images" not in inputs:
        raise ModelError(f"{path}: not a featherface model; export one with `featherface export`")
    if inputs["images"].type == "tensor(uint8)":
        raise ModelError(
            f"{path}: an int8 file for OpenVINO, which is known by a name that ends in {OPENVINO_ONNX}"
        )
    height, width = inputs["images"].shape[2:]
    fixed = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return read_spec(about, path, fixed)
