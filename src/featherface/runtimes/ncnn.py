"""ncnn models (.param with .bin) on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import ModelError
from featherface.images import Input
from featherface.runtimes.card import checked_spec
from featherface.runtimes.spec import ModelSpec
from featherface.runtimes.versions import import_failure, refuse_older

try:
    import ncnn
except ImportError as error:
    raise import_failure(error, "ncnn", "ncnn") from error

_Array = NDArray[np.float32]
INPUT = "in0"
OUTPUTS = ("out0", "out1", "out2")


class NcnnSession:
    """See `featherface.runtime.Session`. Computes in float32; pictures of a batch go one by one."""

    def __init__(self, path: str | Path, threads: int | None = None) -> None:
        self.path, self.threads = Path(path), threads
        refuse_older("ncnn", "ncnn", "1.0.20250503")
        self._spec = checked_spec(self.path)
        self._net = ncnn.Net()
        options = self._net.opt
        if threads is not None:
            options.num_threads = threads
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        if self._net.load_param(str(self.path)) or self._net.load_model(str(self.path.with_suffix(".bin"))):
            raise ModelError(f"{path}: ncnn {ncnn.__version__} cannot load it")

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""
        return self._spec

    def run(self, images: Input) -> tuple[_Array, _Array, _Array]:
        """See `featherface.runtime.Session.run`."""
        scores, boxes, landmarks = (np.stack(parts) for parts in zip(*map(self._one, images), strict=True))
        return scores, boxes, landmarks

    def _one(self, image: _Array) -> list[_Array]:
        extractor = self._net.create_extractor()
        extractor.input(INPUT, ncnn.Mat(np.ascontiguousarray(image)))
        found = []
        for name in OUTPUTS:
            status, value = extractor.extract(name)
            if status:
                shape = "x".join(str(side) for side in image.shape)
                raise ModelError(f"{self.path}: fails on an image {shape} (ncnn status {status})")
            found.append(np.array(value, dtype=np.float32))
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return NcnnSession, (self.path.absolute(), self.threads)
