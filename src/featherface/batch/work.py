"""Does one shard: reads its pictures, finds the faces, writes the part. The same for every engine."""

from __future__ import annotations

import hashlib
import os
import socket
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import onnxruntime

from featherface.batch import files
from featherface.batch.manifest import Counts
from featherface.batch.plan import Plans, Shard
from featherface.batch.rows import error_row, found_row, read_counts, write_part
from featherface.batch.sources import pictures
from featherface.batch.together import Crew, in_batches
from featherface.batch.units import Load
from featherface.detector import Detector
from featherface.errors import ConfigError, DataError, FeatherFaceError, ModelError, one_line
from featherface.images import Image, decode_image
from featherface.runtime import OnnxSession

STARTED = "_started"
MODEL = "_model.onnx"
"""The model lies with the output, so that every machine runs the same one."""
_AHEAD = 4
_CUDA = "CUDAExecutionProvider"

Look = Callable[[str, bytes], dict[str, Any]]
"""Name and bytes of a picture to its row."""


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know, wherever it runs."""

    output: str
    folder: str
    """What relative paths are relative to."""
    column: str | None
    model_sha256: str
    thresholds: dict[str, Any]
    """For `Detector(...)`."""
    look: dict[str, Any]
    """For `Detector.detect(...)`."""
    crops: bool
    gpu: bool = False
    batch_size: int = 1
    """Pictures of one size that go through the network at once."""


@dataclass(frozen=True)
class Report:
    """What became of a shard: its counts, or why the run cannot go on."""

    shard: int
    counts: Counts
    failure: str | None = None


class Worker:
    """Loads the model once, then does shard after shard. One thread computes, a few read ahead."""

    def __init__(self, job: Job) -> None:
        self.job = job
        if Path(job.folder).is_dir():
            os.chdir(job.folder)
        elif not files.is_url(job.output):
            raise DataError(
                f"{job.folder}: not on every machine; name the output by a URL or a shared folder"
            )
        self.plans = Plans(job.output)
        self.look = Looker(job)

    def __call__(self, shard: Shard) -> Report:
        """Do a shard, unless it is done. Trouble with the output, such as a full disk, is the report's failure.

        A shard that somebody began and did not finish may hold the picture that killed him: it is looked at
        from a process of its own, and a picture that ends two of those gets a row that says so.
        """
        output, marker = self.job.output, f"{shard.number:06d}"
        started = files.join(output, STARTED)
        try:
            if not shard.redo and files.exists(output, shard.part):
                return Report(shard.number, read_counts(output, shard.part))
            careful = files.exists(started, marker)
            files.touch(started, marker)
            rows = self._careful_rows(shard) if careful else self.look.rows(self._pictures(shard))
            counts = write_part(output, shard, self.job.model_sha256, self.job.crops, rows)
            files.remove(started, marker)
        except FeatherFaceError as error:
            return Report(shard.number, Counts(), str(error))
        return Report(shard.number, counts)

    def _pictures(self, shard: Shard) -> Iterator[tuple[str, bytes | Exception]]:
        units = self.plans.units(shard)
        return read_ahead(p for unit in units for p in pictures(unit, self.job.column))

    def _careful_rows(self, shard: Shard) -> Iterator[dict[str, Any]]:
        from featherface.batch.processes import Isolated

        with Isolated(replace(self.job, batch_size=1)) as look:
            for name, data in self._pictures(shard):
                yield error_row(name, str(data)) if isinstance(data, Exception) else look(name, data)


def start(job: Job) -> Callable[[Shard], Report]:
    """A worker; or, where none can start, what reports why, so that the run ends with one line."""
    try:
        return Worker(job)
    except (FeatherFaceError, OSError) as error:
        reason = one_line(error)
        return lambda shard: Report(shard.number, Counts(), reason)


class Looker:
    """Makes rows of pictures: by one thread that computes, so results do not depend on the number of workers."""

    def __init__(self, job: Job) -> None:
        cv2.setNumThreads(1)
        self.job = job
        session = open_model(job)
        self.crew = Crew(session, job.batch_size) if job.batch_size > 1 else None
        self.detector = Detector(self.crew or session, **job.thresholds)

    def __call__(self, name: str, data: bytes) -> dict[str, Any]:
        """The row of one picture, alone."""
        picture = self._decoded(name, data)
        return picture if isinstance(picture, dict) else self._found(name, picture)

    def rows(self, loaded: Iterator[tuple[str, bytes | Exception]]) -> Iterator[dict[str, Any]]:
        """The rows of many, in their order."""
        shown = ((name, self._decoded(name, data)) for name, data in loaded)
        if self.crew:
            yield from in_batches(shown, self._shape, self._found_together, self.job.batch_size)
            return
        for name, picture in shown:
            yield picture if isinstance(picture, dict) else self._found(name, picture)

    def _decoded(self, name: str, data: bytes | Exception) -> Image | dict[str, Any]:
        if isinstance(data, Exception):
            return error_row(name, str(data))
        try:
            return decode_image(data, name)
        except FeatherFaceError as error:
            return error_row(name, str(error))
        except MemoryError:
            return error_row(name, f"{name}: not enough memory")

    def _found(self, name: str, picture: Image) -> dict[str, Any]:
        try:
            return found_row(name, self.detector.detect(picture, **self.job.look), picture, self.job.crops)
        except FeatherFaceError as error:
            return error_row(name, str(error))
        except MemoryError:
            return error_row(name, f"{name}: not enough memory")

    def _found_together(self, chosen: list[tuple[str, Image]]) -> list[dict[str, Any]]:
        assert self.crew is not None
        return self.crew.all([partial(self._found, name, picture) for name, picture in chosen])

    def _shape(self, picture: Image) -> tuple[int, int]:
        """Height and width of what the network sees of it first."""
        height, width = picture.shape[:2]
        look, multiple = self.job.look, self.detector.session.spec.pad_multiple
        scale = look["long_side"] / max(height, width) if look.get("long_side") else 1.0
        scale *= (look.get("scales") or (1.0,))[0]
        rows, columns = (-(-max(1, round(side * scale)) // multiple) for side in (height, width))
        return rows, columns


def read_ahead(found: Iterator[tuple[str, Load]]) -> Iterator[tuple[str, bytes | Exception]]:
    """Name and bytes, or error, of each picture in order, while threads fetch the next few."""
    with ThreadPoolExecutor(_AHEAD) as pool:
        waiting: deque[tuple[str, Future[bytes | Exception]]] = deque()
        while True:
            for name, load in islice(found, _AHEAD - len(waiting)):
                waiting.append((name, pool.submit(_loaded, name, load)))
            if not waiting:
                return
            name, future = waiting.popleft()
            yield name, future.result()


def _loaded(name: str, load: Load) -> bytes | Exception:
    try:
        return load()
    except DataError as error:
        return error
    except MemoryError:
        return DataError(f"{name}: not enough memory")


def open_model(job: Job) -> OnnxSession:
    """The run's model, from the output. ModelError when another lies there; ConfigError for GPUs without CUDA."""
    place = files.join(job.output, MODEL)
    data = files.read(place)
    if hashlib.sha256(data).hexdigest() != job.model_sha256:
        raise ModelError(f"{place}: was changed since the run began; run the same command again")
    if not files.is_url(place):
        return _session(place, job.gpu)
    with files.temporary_folder() as folder:
        path = folder / MODEL
        with files.named(str(path)):
            path.write_bytes(data)
        return _session(str(path), job.gpu)


def _session(path: str, gpu: bool) -> OnnxSession:
    if not gpu:
        return OnnxSession(path, threads=1)
    there = onnxruntime.get_available_providers()
    if _CUDA in there:
        session = OnnxSession(path, threads=1, providers=(_CUDA,))
        # ONNX Runtime goes on with the CPU when CUDA or cuDNN cannot be loaded.
        if _CUDA in session.running_on:
            return session
    why = "cannot load CUDA" if _CUDA in there else f"has {', '.join(there)}"
    raise ConfigError(
        f"--gpus-per-worker: ONNX Runtime on {socket.gethostname()} {why}; it needs onnxruntime-gpu, CUDA and cuDNN"
    )
