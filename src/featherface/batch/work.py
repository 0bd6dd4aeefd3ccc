"""Does one shard: reads its pictures, finds the faces, writes the part. The same for every engine."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from featherface.batch import files
from featherface.batch.plan import Shard, read_units
from featherface.batch.rows import Counts, error_row, found_row, read_counts, write_part
from featherface.batch.sources import pictures
from featherface.batch.units import Load
from featherface.detector import Detector
from featherface.errors import DataError, FeatherFaceError
from featherface.images import decode_image
from featherface.runtime import OnnxSession

STARTED = "_started"
MODEL = "_model.onnx"
"""The model lies with the output, so that every machine runs the same one."""
_AHEAD = 4

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
        self.look = looker(job)

    def __call__(self, shard: Shard) -> Report:
        """Do a shard, unless it is done. Trouble with the output, such as a full disk, is the report's failure.

        A shard that somebody began and did not finish may hold the picture that killed him: it is looked at
        from a process of its own, and a picture that ends two of those gets a row that says so.
        """
        output, marker = self.job.output, f"{shard.number:06d}"
        started = files.join(output, STARTED)
        try:
            if files.exists(output, shard.part):
                return Report(shard.number, read_counts(output, shard.part))
            careful = files.exists(started, marker)
            files.touch(started, marker)
            rows = self._careful_rows(shard) if careful else self._rows(shard, self.look)
            counts = write_part(output, shard, self.job.model_sha256, self.job.crops, rows)
            files.remove(started, marker)
        except FeatherFaceError as error:
            return Report(shard.number, Counts(), str(error))
        return Report(shard.number, counts)

    def _rows(self, shard: Shard, look: Look) -> Iterator[dict[str, Any]]:
        found = (p for unit in read_units(self.job.output, shard) for p in pictures(unit, self.job.column))
        for name, data in read_ahead(found):
            yield error_row(name, str(data)) if isinstance(data, Exception) else look(name, data)

    def _careful_rows(self, shard: Shard) -> Iterator[dict[str, Any]]:
        from featherface.batch.processes import Isolated

        with Isolated(self.job) as look:
            yield from self._rows(shard, look)


def looker(job: Job) -> Look:
    """How pictures are looked at: a one-threaded detector, so results do not depend on the number of workers."""
    cv2.setNumThreads(1)
    detector = Detector(_session(job), **job.thresholds)

    def look(name: str, data: bytes) -> dict[str, Any]:
        try:
            picture = decode_image(data, name)
            found = detector.detect(picture, **job.look)
            return found_row(name, found, picture, job.crops)
        except FeatherFaceError as error:
            return error_row(name, str(error))
        except MemoryError:
            return error_row(name, f"{name}: not enough memory")

    return look


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


def _session(job: Job) -> OnnxSession:
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(files.read(files.join(job.output, MODEL)))
        file.flush()
        if job.gpu:
            return OnnxSession(file.name, threads=1, providers=("CUDAExecutionProvider",))
        return OnnxSession(file.name, threads=1)
