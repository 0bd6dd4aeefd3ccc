"""`featherface detect`: the faces in files, folders, globs and standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.cli.looks import Flip, LongSide, Scales, Tile, scales_or_auto
from featherface.errors import ConfigError, FeatherFaceError

if TYPE_CHECKING:
    from featherface.cli.inputs import Input
    from featherface.cli.outputs import Result
    from featherface.detector import Detector
    from featherface.images import Image

_A_FEW = 3
_OUTPUTS = "Outputs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(detect)


@dataclass(frozen=True)
class _Look:
    """How every picture is looked at, and where pictures of it go."""

    scales: tuple[float, ...] | None
    flip: bool
    long_side: int | None
    tile: int | None
    save: Path | None
    crops: Path | None


def detect(
    inputs: Annotated[
        list[str], typer.Argument(help="Files, folders, globs, or - for standard input.", show_default=False)
    ],
    model: Annotated[str, typer.Option(help="A shipped model or a model file.")] = "v2",
    score_threshold: Annotated[float, typer.Option(help="Keep faces of at least this score.")] = 0.5,
    iou_threshold: Annotated[
        float, typer.Option(help="Suppress boxes that overlap a better one more.")
    ] = 0.4,
    max_detections: Annotated[int, typer.Option(help="At most this many faces a picture.")] = 750,
    save: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures with the faces drawn in.", rich_help_panel=_OUTPUTS),
    ] = None,
    crops: Annotated[
        Path | None, typer.Option(help="Folder for the faces, aligned to 112x112.", rich_help_panel=_OUTPUTS)
    ] = None,
    json: Annotated[
        str | None, typer.Option(help="Write JSON; - for standard output.", rich_help_panel=_OUTPUTS)
    ] = None,
    csv: Annotated[
        str | None, typer.Option(help="Write CSV, a row a face.", rich_help_panel=_OUTPUTS)
    ] = None,
    coco: Annotated[str | None, typer.Option(help="Write COCO JSON.", rich_help_panel=_OUTPUTS)] = None,
    long_side: LongSide = None,
    scales: Scales = "auto",
    flip: Flip = False,
    tile: Tile = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all when not given.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No table, no progress bar.")] = False,
) -> None:
    """Find the faces in photos. Exit code 0 only when every input could be read."""
    from featherface.cli.inputs import expand
    from featherface.cli.outputs import Result, table, write_coco, write_csv, write_json
    from featherface.detector import Detector

    look = _Look(scales_or_auto(scales), flip, long_side, tile, save, crops)
    detector = Detector(model, score_threshold, iou_threshold, max_detections, threads)
    found = expand(inputs)
    results: list[Result] = []
    try:
        with _progress(len(found), quiet) as (advance, say):
            for item in found:
                try:
                    results.append(_one(detector, item, look))
                except ConfigError:
                    raise
                except (FeatherFaceError, MemoryError) as error:
                    line = str(error) or f"{item.path}: not enough memory"
                    say(f"featherface: {line}")
                    results.append(Result(item.path, None, line))
                advance()
    finally:
        # Also after an interruption: what was found is not lost.
        for target, write in ((json, write_json), (csv, write_csv), (coco, write_coco)):
            if target is not None and results:
                _write(write, target, results)
    if not quiet and json != "-":
        typer.echo(table(results))
    if any(result.error for result in results):
        raise typer.Exit(1)


def _one(detector: Detector, item: Input, look: _Look) -> Result:
    from featherface.cli.outputs import Result, save_crops, save_picture
    from featherface.images import read_image

    source = item.source()
    picture = read_image(source) if isinstance(source, Path) else read_stdin(source)
    found = detector.detect(
        picture, scales=look.scales, flip=look.flip, long_side=look.long_side, tile=look.tile
    )
    if look.save is not None:
        save_picture(look.save, item.output, found.draw(picture))
    if look.crops is not None:
        save_crops(look.crops, item.output, found.crops(picture))
    return Result(item.path, found)


def read_stdin(data: bytes) -> Image:
    """The picture that came through standard input."""
    from featherface.images import decode_image

    return decode_image(data, "standard input")


def _write(write: Callable[[str, list[Result]], None], target: str, results: list[Result]) -> None:
    try:
        write(target, results)
    except OSError as error:
        raise FeatherFaceError(f"{target}: cannot be written ({error.strerror})") from error


@contextmanager
def _progress(count: int, quiet: bool) -> Iterator[tuple[Callable[[], None], Callable[[str], None]]]:
    """A bar on standard error for more than a few inputs, and a way to print a line beside it."""
    if quiet or count <= _A_FEW:
        yield (lambda: None), (lambda line: print(line, file=sys.stderr))
        return
    from featherface.cli.progress import bar

    with bar("detecting", count) as advance:
        yield advance, (lambda line: print(line, file=sys.stderr))
