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


def size_pool(threads: int) -> bool:
    """Give the pool of this process so many threads; False where ExecuTorch does not let anyone, or did not do it.

    Only before the first session: a program that is loaded keeps the old pool, which is then gone.
    """
    try:
        from executorch.extension.pybindings.portable_lib import (
            _threadpool_get_thread_count,
            _unsafe_reset_threadpool,
        )
    except ImportError:
        return False
    torch.set_num_threads(1)  # it only carries tensors in and out; its threads would come on top
    _unsafe_reset_threadpool(threads)
    return bool(_threadpool_get_thread_count() == threads)


class ExecuTorchSession(PerThreadSession):
    """See `featherface.runtime.Session`. One program for every thread that calls; one size of picture.

    ExecuTorch has one pool of threads for the whole process, which other sessions may be using: `threads` is taken for
    what it is called with, and not kept to. See `size_pool`.
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
