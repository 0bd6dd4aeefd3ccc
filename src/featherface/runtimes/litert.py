"""LiteRT models (.tflite, formerly TensorFlow Lite) on the CPU, through its XNNPACK delegate."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import MissingExtraError, ModelError
from featherface.runtimes.card import checked_spec
from featherface.runtimes.spec import ModelSpec
from featherface.runtimes.versions import refuse_older

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError as error:
    raise MissingExtraError("ai-edge-litert", "litert") from error

_Array = NDArray[np.float32]


class LiteRtSession:
    """See `featherface.runtime.Session`. One interpreter for every thread that calls; one size of picture."""

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path, self.threads = Path(path), threads
        refuse_older("ai-edge-litert", "litert", "2.0")
        self._spec = checked_spec(self.path)
        self._own = threading.local()
        self._interpreter()

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""
        return self._spec

    def run(self, images: _Array) -> tuple[_Array, _Array, _Array]:
        """See `featherface.runtime.Session.run`."""
        scores, boxes, landmarks = (
            np.concatenate(parts) for parts in zip(*map(self._one, images), strict=True)
        )
        return scores, boxes, landmarks

    def _one(self, image: _Array) -> list[_Array]:
        interpreter = self._interpreter()
        try:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            shape = "x".join(str(side) for side in image.shape)
            raise ModelError(f"{self.path}: fails on an image {shape} ({_line(error)})") from error
        outputs = sorted(interpreter.get_output_details(), key=lambda output: str(output["name"]))
        return [np.array(interpreter.get_tensor(output["index"]), np.float32) for output in outputs]

    def _interpreter(self) -> Any:
        interpreter = getattr(self._own, "interpreter", None)
        if interpreter is None:
            try:
                interpreter = Interpreter(str(self.path), num_threads=self.threads)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ModelError(f"{self.path}: LiteRT cannot load it ({_line(error)})") from error
            self._own.interpreter = interpreter
        return interpreter

    def __reduce__(self) -> tuple[Any, ...]:
        return LiteRtSession, (self.path.absolute(), self.threads)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
