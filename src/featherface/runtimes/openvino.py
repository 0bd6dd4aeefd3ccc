"""OpenVINO models (.xml with .bin, or one .openvino.onnx) on the CPU."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from featherface.errors import ModelError
from featherface.images import Input
from featherface.runtimes.card import checked_spec
from featherface.runtimes.spec import ModelSpec
from featherface.runtimes.versions import import_failure, refuse_older

try:
    import openvino
except ImportError as error:
    raise import_failure(error, "openvino", "openvino") from error

# OpenVINO's binding sets itself up for numpy at the first `Tensor.data`, and waits for ever when two threads are the
# first: one holds the GIL and waits for the other's setting up, which waits for the GIL. So it is done here, by one.
_ = openvino.Tensor(np.zeros(1, np.float32)).data

_Array = NDArray[np.float32]
Precision = Literal["f32", "bf16", "f16"]


class OpenVinoSession:
    """See `featherface.runtime.Session`. One request for every thread that calls.

    `precision`: what the float layers compute in. Left to itself OpenVINO takes bfloat16 where the CPU has
    it, which is faster and moves boxes by a pixel or two.
    """

    def __init__(self, path: str | Path, threads: int | None = None, precision: Precision = "f32") -> None:
        self.path, self.threads, self.precision = Path(path), threads, precision
        refuse_older("openvino", "openvino", "2025.0")
        self._spec = checked_spec(self.path)
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            self._model = openvino.Core().compile_model(str(self.path), "CPU", config)
        except RuntimeError as error:
            raise ModelError(
                f"{path}: OpenVINO {openvino.__version__} cannot load it ({_line(error)})"
            ) from error
        self._requests = threading.local()

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""
        return self._spec

    def run(self, images: Input) -> tuple[_Array, _Array, _Array]:
        """See `featherface.runtime.Session.run`."""
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._model.create_infer_request()
        try:
            found = request.infer({"images": to_nhwc(images) if self._spec.as_bytes else images})
        except (RuntimeError, ValueError) as error:
            shape = "x".join(str(side) for side in images.shape)
            raise ModelError(f"{self.path}: fails on images {shape} ({_line(error)})") from error
        scores, boxes, landmarks = (
            np.array(found[name]) for name in ("scores", "box_deltas", "landmark_deltas")
        )
        return scores, boxes, landmarks

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenVinoSession, (self.path.absolute(), self.threads, self.precision)


def to_nhwc(images: Input) -> NDArray[np.uint8]:
    """Images (B, 3, H, W) as (B, H, W, 3) in uint8; a view where they lie so, floats to the nearest of 0 to 255."""
    if images.dtype != np.uint8:
        images = np.rint(images).clip(0, 255)
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1), np.uint8)


def _line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]
