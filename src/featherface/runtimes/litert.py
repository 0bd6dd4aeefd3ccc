"""LiteRT models (.tflite, formerly TensorFlow Lite) on the CPU, through its XNNPACK delegate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.runtimes.per_thread import PerThreadSession
from featherface.runtimes.versions import import_failure, refuse_older

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError as error:
    raise import_failure(error, "ai-edge-litert", "litert", ("ai_edge_litert",)) from error

_Array = NDArray[np.float32]


class LiteRtSession(PerThreadSession):
    """See `featherface.runtime.Session`. One interpreter for every thread that calls; one size of picture."""

    runtime = "LiteRT"

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        refuse_older("ai-edge-litert", "litert", "2.0")
        super().__init__(path, threads)

    def _load(self) -> Any:
        interpreter = Interpreter(str(self.path), num_threads=self.threads)
        interpreter.allocate_tensors()
        return interpreter

    def _look(self, network: Any, image: _Array) -> list[_Array]:
        network.set_tensor(network.get_input_details()[0]["index"], image)
        network.invoke()
        outputs = sorted(network.get_output_details(), key=lambda output: str(output["name"]))
        return [np.array(network.get_tensor(output["index"]), np.float32) for output in outputs]
