"""ExecuTorch programs (.pte) on the CPU, through the XNNPACK backend. Its Python runtime brings torch with it."""

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
    import torch
    from executorch.runtime import Runtime
except ImportError as error:
    raise MissingExtraError("executorch", "executorch") from error

_Array = NDArray[np.float32]


class ExecuTorchSession:
    """See `featherface.runtime.Session`. One program for every thread that calls; one size of picture.

    ExecuTorch has one pool of threads for the whole process, which its Python runtime does not let anyone size:
    `threads` is taken for what it is called with, and not kept to.
    """

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path, self.threads = Path(path), threads
        refuse_older("executorch", "executorch", "1.0")
        self._spec = checked_spec(self.path)
        self._own = threading.local()
        self._forward()

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
        try:
            outputs = self._forward().execute([torch.from_numpy(np.ascontiguousarray(image[None]))])
        except RuntimeError as error:
            shape = "x".join(str(side) for side in image.shape)
            raise ModelError(f"{self.path}: fails on an image {shape} ({_line(error)})") from error
        # They lie in memory that the next run writes to.
        return [np.array(output.detach().numpy(), np.float32) for output in outputs]

    def _forward(self) -> Any:
        forward = getattr(self._own, "forward", None)
        if forward is None:
            try:
                # The method does not keep its program alive.
                self._own.program = Runtime.get().load_program(self.path)
                self._own.forward = forward = self._own.program.load_method("forward")
            except RuntimeError as error:
                raise ModelError(f"{self.path}: ExecuTorch cannot load it ({_line(error)})") from error
        return forward

    def __reduce__(self) -> tuple[Any, ...]:
        return ExecuTorchSession, (self.path.absolute(), self.threads)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
