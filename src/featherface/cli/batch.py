"""`featherface batch`: the faces of very many photos, on all cores or a Ray cluster, as Parquet."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.cli.looks import Flip, LongSide, Scales, Tile, scales_or_auto
from featherface.errors import ConfigError, DataError, MissingExtraError

if TYPE_CHECKING:
    from featherface.batch.run import Engine, Summary

_WHERE = "Where it runs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(batch)


def batch(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, glob, text file of paths, Parquet, tar, or the URL of one (s3://, gs://, hf://, ...).",
            show_default=False,
        ),
    ],
    output: Annotated[str, typer.Option(help="Folder or URL for the Parquet files.")],
    engine: Annotated[str, typer.Option(help="local or ray.", rich_help_panel=_WHERE)] = "local",
    workers: Annotated[
        int | None,
        typer.Option(help="Processes or actors; all cores when not given.", rich_help_panel=_WHERE),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join, such as head:6379.", rich_help_panel=_WHERE)
    ] = None,
    gpus_per_worker: Annotated[
        float, typer.Option(help="GPUs that each Ray actor takes.", rich_help_panel=_WHERE)
    ] = 0,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Pictures of one size that go through the network at once; 8 on GPUs, else 1, when not given.",
            rich_help_panel=_WHERE,
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="A shipped model or a model file.")] = "v2",
    score_threshold: Annotated[float, typer.Option(help="Keep faces of at least this score.")] = 0.5,
    iou_threshold: Annotated[
        float, typer.Option(help="Suppress boxes that overlap a better one more.")
    ] = 0.4,
    max_detections: Annotated[int, typer.Option(help="At most this many faces a picture.")] = 750,
    crops: Annotated[
        bool, typer.Option("--crops", help="Add the faces, aligned to 112x112, as PNG.")
    ] = False,
    column: Annotated[
        str | None, typer.Option(help="Column of a Parquet source that holds pictures.")
    ] = None,
    shard_size: Annotated[
        int | None, typer.Option(help="Pictures an output file; at most 1000 when not given.")
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Do files that hold errors once more.")
    ] = False,
    long_side: LongSide = None,
    scales: Scales = "auto",
    flip: Flip = False,
    tile: Tile = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No summary, no progress bar.")] = False,
) -> None:
    """Find the faces in very many photos. Run it again after any interruption: it does only what is missing.

    A picture that cannot be read is a row with an error; the exit code is 0 unless that is all there is.
    """
    chosen = _engine(engine, workers, address, gpus_per_worker)
    from featherface.batch.run import Request, run

    request = Request(
        source,
        output,
        model,
        {
            "score_threshold": score_threshold,
            "iou_threshold": iou_threshold,
            "max_detections": max_detections,
        },
        {"scales": scales_or_auto(scales), "flip": flip, "long_side": long_side, "tile": tile},
        crops,
        column,
        shard_size,
        retry_errors,
        gpus_per_worker > 0,
        batch_size,
    )
    with _progress(quiet) as progress:
        summary = run(request, chosen, progress)
    if not quiet:
        typer.echo(_told(summary, output))
    counts = summary.counts
    if counts.errors and counts.errors == counts.rows:
        raise DataError(
            f"none of the {counts.rows:,} pictures could be read; the first: {counts.first_error}"
        )


def _engine(name: str, workers: int | None, address: str | None, gpus_per_worker: float) -> Engine:
    if name not in ("local", "ray"):
        raise ConfigError(f"--engine {name!r}: local or ray")
    if workers is not None and workers < 1:
        raise ConfigError(f"--workers {workers}: must be at least 1")
    if gpus_per_worker < 0:
        raise ConfigError(f"--gpus-per-worker {gpus_per_worker}: must not be negative")
    if name == "local" and (address or gpus_per_worker):
        raise ConfigError("--address and --gpus-per-worker need --engine ray")
    _need("pyarrow", "batch")
    _need("fsspec", "batch")
    if name == "local":
        from featherface.batch.processes import run_local

        return lambda job, shards: run_local(job, shards, workers or os.cpu_count() or 1)
    _need("ray", "ray")
    from featherface.batch.cluster import run_ray

    return lambda job, shards: run_ray(job, shards, workers, address, gpus_per_worker)


def _need(package: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingExtraError(package, extra)


def _told(summary: Summary, output: str) -> str:
    counts = summary.counts
    before = f", {summary.done_before:,} of them there before" if summary.done_before else ""
    errors = f"{counts.errors:,} could not be read" if counts.errors else "all could be read"
    return (
        f"{counts.faces:,} faces in {counts.rows:,} pictures, {errors}; "
        f"{summary.shards:,} files in {output}{before}"
    )


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("shards"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task("", total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
