"""ExecuTorch programs (.pte) on the CPU, through the XNNPACK backend. Its Python runtime brings torch with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.runtimes.per_thread import PerThreadSession
from featherface.runtimes.versions import import_failure, refuse_older

try:
    import torch
    from executorch.runtime import Runtime
except ImportError as error:
    raise import_failure(error, "executorch", "executorch", ("torch",)) from error

_Array = NDArray[np.float32]


class ExecuTorchSession(PerThreadSession):
    """See `featherface.runtime.Session`. One program for every thread that calls; one size of picture.

    ExecuTorch has one pool of threads for the whole process, which its Python runtime does not let anyone size:
    `threads` is taken for what it is called with, and not kept to.
    """

    runtime = "ExecuTorch"

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        refuse_older("executorch", "executorch", "1.0")
        super().__init__(path, threads)

    def _load(self) -> Any:
        program = Runtime.get().load_program(self.path)
        # The method does not keep its program alive.
        return program, program.load_method("forward")

    def _look(self, network: Any, image: _Array) -> list[_Array]:
        _, forward = network
        outputs = forward.execute([torch.from_numpy(np.ascontiguousarray(image))])
        # They lie in memory that the next run writes to.
        return [np.array(output.detach().numpy(), np.float32) for output in outputs]
