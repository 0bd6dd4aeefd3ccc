"""What runtimes have in common whose networks take one picture at a time and belong to the thread that runs them."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import ModelError, one_line
from featherface.images import Input
from featherface.runtimes.card import checked_spec
from featherface.runtimes.spec import ModelSpec

_Array = NDArray[np.float32]


class PerThreadSession(ABC):
    """See `featherface.runtime.Session`. A network for every thread that calls; one size of picture."""

    runtime: str
    """What it is called in errors."""

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path, self.threads = Path(path), threads
        self._spec = checked_spec(self.path)
        self._own = threading.local()
        self._network()

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""
        return self._spec

    def run(self, images: Input) -> tuple[_Array, _Array, _Array]:
        """See `featherface.runtime.Session.run`."""
        scores, boxes, landmarks = (
            np.concatenate(parts) for parts in zip(*map(self._one, images), strict=True)
        )
        return scores, boxes, landmarks

    @abstractmethod
    def _load(self) -> Any:
        """The network, for the calling thread; ValueError or RuntimeError when it cannot be loaded."""

    @abstractmethod
    def _look(self, network: Any, image: _Array) -> list[_Array]:
        """Scores, box deltas and landmark deltas of one picture (1, 3, H, W); errors as in `_load`."""

    def _one(self, image: _Array) -> list[_Array]:
        network = self._network()
        try:
            return self._look(network, image[None])
        except (ValueError, RuntimeError) as error:
            shape = "x".join(str(side) for side in image.shape)
            raise ModelError(f"{self.path}: fails on an image {shape} ({one_line(error, 160)})") from error

    def _network(self) -> Any:
        network = getattr(self._own, "network", None)
        if network is None:
            try:
                network = self._own.network = self._load()
            except (ValueError, RuntimeError) as error:
                raise ModelError(
                    f"{self.path}: {self.runtime} cannot load it ({one_line(error, 160)})"
                ) from error
        return network

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path.absolute(), self.threads)
