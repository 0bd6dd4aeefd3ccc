"""A whole run: check the output, plan, do what is missing, keep the books."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from featherface.batch import files
from featherface.batch.lock import locked
from featherface.batch.manifest import Counts, Identity, check_identity, write_manifest
from featherface.batch.places import absolute, named
from featherface.batch.plan import Shard, extend_plan, parts
from featherface.batch.rows import read_counts
from featherface.batch.work import MODEL, STARTED, Job, Report
from featherface.detector import Detector
from featherface.errors import ConfigError, DataError
from featherface.runtime import OnnxSession, open_session
from featherface.zoo import find_model

_GPU_BATCH = 8
Engine = Callable[[Job, Sequence[Shard]], Iterator[Report]]


@dataclass(frozen=True)
class Summary:
    """What the output holds, and how much of it this run did."""

    counts: Counts
    shards: int
    done_before: int


@dataclass(frozen=True)
class Request:
    """What to do with which pictures."""

    source: str
    output: str
    model: str = "v2"
    thresholds: dict[str, Any] | None = None
    """score_threshold, iou_threshold, max_detections, as for `Detector`."""
    look: dict[str, Any] | None = None
    """scales, flip, long_side, tile, as for `Detector.detect`."""
    crops: bool = False
    column: str | None = None
    shard_size: int | None = None
    retry_errors: bool = False
    gpu: bool = False
    batch_size: int | None = None
    """Pictures of one size at once; 8 on a GPU, else 1, when not given. The faces are the same."""


def run(request: Request, engine: Engine, progress: Callable[[int, int], None]) -> Summary:
    """Do what is missing; `progress` is told how many of how many shards are done.

    Raises ConfigError for a bad option, ModelError for a bad model, DataError for a source or an output that
    cannot be used. What was done before the error stays, and the next run goes on from there.
    """
    request = replace(
        request, source=named(request.source, "SOURCE"), output=absolute(named(request.output, "--output"))
    )
    model, job, identity = _prepared(request)
    with locked(request.output):
        return _do(request, model, job, identity, engine, progress)


def _do(
    request: Request,
    model: bytes,
    job: Job,
    identity: Identity,
    engine: Engine,
    progress: Callable[[int, int], None],
) -> Summary:
    output = request.output
    identity, known = check_identity(output, identity)
    shards = extend_plan(output, identity, request.shard_size)
    there = parts(output)
    done = {number: known.get(number) or _counts(output, number) for number in there}
    if request.retry_errors:
        done = {number: counts for number, counts in done.items() if not counts.errors}
    missing = [replace(s, redo=s.number in there) for s in shards if s.number not in done]
    if any(shard.redo for shard in missing):
        # Or a run that ends early would leave the counts of parts that it has replaced.
        write_manifest(output, identity, done)
    if missing:
        _put_model(output, model, job.model_sha256)
    before = len(done)
    progress(before, len(shards))
    try:
        for report in engine(replace(job, folder=identity.folder), missing) if missing else ():
            if report.failure:
                raise DataError(report.failure)
            done[report.shard] = report.counts
            progress(len(done), len(shards))
        files.sweep(output, STARTED)
    finally:
        if len(done) > before or len(done) > len(known):
            write_manifest(output, identity, done)
    counts = sum(done.values(), Counts())
    if not counts.rows:  # An archive tells what it holds only when it is read.
        raise DataError(f"{identity.named}: holds no pictures")
    return Summary(counts, len(shards), before)


def _prepared(request: Request) -> tuple[bytes, Job, Identity]:
    if request.shard_size is not None and request.shard_size < 1:
        raise ConfigError(f"--shard-size {request.shard_size}: must be at least 1")
    if request.batch_size is not None and request.batch_size < 1:
        raise ConfigError(f"--batch-size {request.batch_size}: must be at least 1")
    thresholds, look = request.thresholds or {}, request.look or {}
    path = find_model(request.model)
    session = open_session(path, threads=1)
    if not isinstance(session, OnnxSession):
        raise ConfigError(f"{path}: batch runs models in ONNX Runtime, which this file is not for")
    model = path.read_bytes()
    # A bad option shows here, before anything is written.
    Detector(session, **thresholds).detect(np.zeros((64, 64, 3), np.uint8), **look)
    sha256 = hashlib.sha256(model).hexdigest()
    folder = os.getcwd()  # noqa: PTH109
    job = Job(
        output=request.output,
        folder=folder,
        column=request.column,
        model_sha256=sha256,
        thresholds=thresholds,
        look=look,
        crops=request.crops,
        gpu=request.gpu,
        batch_size=request.batch_size or (_GPU_BATCH if request.gpu else 1),
    )
    options = {**thresholds, **look, "crops": request.crops}
    name = path.stem if Path(request.model).suffix else request.model
    source = absolute(request.source)
    return model, job, Identity(source, request.source, folder, request.column, name, sha256, options)


def _put_model(output: str, model: bytes, sha256: str) -> None:
    """A file that was cut short, or is another model, would give its faces under this model's name."""
    if files.exists(output, MODEL):
        there = files.read(files.join(output, MODEL))
        if hashlib.sha256(there).hexdigest() == sha256:
            return
    files.write(output, MODEL, model)


def _counts(output: str, number: int) -> Counts:
    return read_counts(output, f"part-{number:06d}.parquet")
