"""`featherface detect`: the faces in files, folders, globs and standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.cli.looks import Flip, LongSide, Scales, Tile, scales_or_auto
from featherface.errors import ConfigError, FeatherFaceError, reason_of

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
        str | None, typer.Option(help="Write CSV, a row a face; likewise.", rich_help_panel=_OUTPUTS)
    ] = None,
    coco: Annotated[
        str | None, typer.Option(help="Write COCO JSON; likewise.", rich_help_panel=_OUTPUTS)
    ] = None,
    long_side: LongSide = None,
    scales: Scales = "auto",
    flip: Flip = False,
    tile: Tile = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all when not given.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No table, no progress bar.")] = False,
) -> None:
    """Find the faces in photos. Exit code 0 only when every input could be read."""
    from featherface.cli.inputs import STDIN, expand
    from featherface.cli.outputs import Result, table, write_coco, write_csv, write_json
    from featherface.detector import Detector

    look = _Look(scales_or_auto(scales), flip, long_side, tile, save, crops)
    detector = Detector(model, score_threshold, iou_threshold, max_detections, threads)
    found = expand(inputs)
    outputs = {"--json": json, "--csv": csv, "--coco": coco}
    _refuse_overwriting(found, look, outputs)
    results: list[Result] = []
    try:
        with _progress(len(found), quiet) as (advance, say):
            for item in found:
                try:
                    results.append(_one(detector, item, look))
                except ConfigError:
                    raise
                except (FeatherFaceError, MemoryError) as error:
                    line = str(error) or "not enough memory"
                    named = item.path in line or item.path == STDIN
                    line = line if named else f"{item.path}: {line}"
                    say(f"featherface: {line}")
                    results.append(Result(item.path, None, line))
                advance()
    finally:
        # Also after an interruption: what was found is not lost.
        if results:
            _write(results, [(json, write_json), (csv, write_csv), (coco, write_coco)])
    if not quiet and "-" not in outputs.values():
        typer.echo(table(results))
    if any(result.error for result in results):
        raise typer.Exit(1)


def _one(detector: Detector, item: Input, look: _Look) -> Result:
    from featherface.cli.outputs import Result, save_crops, save_picture, saved_as
    from featherface.images import read_image

    source = item.source()
    picture = read_image(source) if isinstance(source, Path) else read_stdin(source)
    found = detector.detect(
        picture, scales=look.scales, flip=look.flip, long_side=look.long_side, tile=look.tile
    )
    if look.save is not None:
        save_picture(saved_as(look.save, item.output), found.draw(picture))
    if look.crops is not None:
        save_crops(look.crops, item.stem, found.crops(picture))
    return Result(item.path, found)


def read_stdin(data: bytes) -> Image:
    """The picture that came through standard input."""
    from featherface.images import decode_image

    return decode_image(data, "standard input")


def _refuse_overwriting(found: list[Input], look: _Look, outputs: Mapping[str, str | None]) -> None:
    """ConfigError where a result would be written over a picture that is looked at, or over another result."""
    from featherface.cli.outputs import crop_of, saved_as
    from featherface.cli.targets import check_targets, refuse_overwriting

    refuse_overwriting(outputs, [item.path for item in found])
    check_targets(*(Path(text) for text in outputs.values() if text), folders=(look.save, look.crops))
    if look.save is None and look.crops is None:
        return
    pictures = {Path(item.path).resolve() for item in found if item.error is None}
    if look.save is not None:
        for item in found:
            if (target := saved_as(look.save, item.output)).resolve() in pictures:
                raise ConfigError(f"--save {look.save}: {target} is an input, which is never overwritten")
    if look.crops is not None:
        stems = {(look.crops / item.stem).resolve() for item in found}
        if hit := next((picture for picture in pictures if crop_of(picture) in stems), None):
            raise ConfigError(f"--crops {look.crops}: {hit} is an input, which is never overwritten")


def _write(
    results: list[Result], writers: Sequence[tuple[str | None, Callable[[str, list[Result]], None]]]
) -> None:
    """Each of the files, also when another cannot be written, which is then said."""
    failed = []
    for target, write in writers:
        try:
            if target is not None:
                write(target, results)
        except OSError as error:
            failed.append(f"{target}: cannot be written ({reason_of(error)})")
    if failed:
        raise FeatherFaceError("; ".join(failed))


@contextmanager
def _progress(count: int, quiet: bool) -> Iterator[tuple[Callable[[], None], Callable[[str], None]]]:
    """A bar on standard error for more than a few inputs, and a way to print a line beside it."""
    if quiet or count <= _A_FEW:
        yield (lambda: None), (lambda line: print(line, file=sys.stderr))
        return
    from featherface.cli.progress import bar

    with bar("detecting", count) as advance:
        yield advance, (lambda line: print(line, file=sys.stderr))
