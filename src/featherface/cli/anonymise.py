"""`featherface anonymise`: photos and videos without recognisable faces."""

from __future__ import annotations

import json as json_format
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featherface.errors import ConfigError, FeatherFaceError, reason_of

if TYPE_CHECKING:
    from featherface.anonymise import Check, Style
    from featherface.cli.inputs import Input
    from featherface.detector import Detector

_LOOKS = "How faces are hidden"
_VIDEO = "Videos"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(anonymise)


@dataclass(frozen=True)
class Job:
    """What is done to every input."""

    detector: Detector
    style: Style
    overwrite: bool
    keep_metadata: bool
    check: bool
    every: int
    bridge: float
    margin: float
    quiet: bool
    model: str
    threads: int | None


@dataclass(frozen=True)
class Outcome:
    """What became of one input, as the JSON report has it."""

    path: str
    saved: str | None = None
    hidden: int = 0
    visible: list[dict[str, Any]] | None = None
    """What the check still found uncovered; None when it was not asked for."""
    covered: int | None = None
    error: str | None = None

    def line(self) -> str:
        """The outcome in words."""
        text = f"{self.path}: {self.hidden:,} faces hidden in {self.saved}"
        if self.visible is None:
            return text
        seen = f"{len(self.visible):,} visible" if self.visible else "none visible"
        return f"{text}; check: {seen}, {self.covered:,} hidden ones still look like faces to the detector"


def anonymise(
    inputs: Annotated[list[str], typer.Argument(help="Photos, videos, folders, globs.", show_default=False)],
    save: Annotated[Path, typer.Option(help="Folder for the results, which replace nothing there.")],
    method: Annotated[
        str, typer.Option(help="blur, pixelate, solid or image.", rich_help_panel=_LOOKS)
    ] = "blur",
    shape: Annotated[str, typer.Option(help="ellipse or box.", rich_help_panel=_LOOKS)] = "ellipse",
    grow: Annotated[
        float, typer.Option(help="Hidden region relative to the face's box.", rich_help_panel=_LOOKS)
    ] = 1.3,
    colour: Annotated[
        str, typer.Option(help="For solid: RRGGBB in hexadecimal.", rich_help_panel=_LOOKS)
    ] = "000000",
    image: Annotated[
        Path | None,
        typer.Option(help="For image: a picture, such as an emoji's PNG.", rich_help_panel=_LOOKS),
    ] = None,
    score_threshold: Annotated[
        float | None,
        typer.Option(
            help="Hide what has at least this score; low, because a missed face costs more.",
            show_default="0.2",
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="A shipped model or a model file.")] = "v2",
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace what is in the --save folder already; never an original."),
    ] = False,
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep EXIF, GPS, XMP and tags; never the thumbnail.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Look again, at another scale, and report what is still found.")
    ] = False,
    json: Annotated[str | None, typer.Option(help="Write a report as JSON; - for standard output.")] = None,
    every: Annotated[
        int, typer.Option(help="Detect in every Nth frame, tracks between.", rich_help_panel=_VIDEO)
    ] = 1,
    bridge: Annotated[
        float,
        typer.Option(help="Seconds a lost track is filled in, both ways.", rich_help_panel=_VIDEO),
    ] = 2.0,
    margin: Annotated[
        float,
        typer.Option(
            help="Seconds hidden before the first and after the last sight.", rich_help_panel=_VIDEO
        ),
    ] = 0.4,
    threads: Annotated[int | None, typer.Option(help="CPU threads; all when not given.")] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only errors and what is still visible.")
    ] = False,
) -> None:
    """Hide the faces in photos and videos. Exit code 0 only when every input was done and no check failed."""
    from featherface.anonymise import Style, load_cover
    from featherface.anonymise.look import THRESHOLD
    from featherface.cli.inputs import expand
    from featherface.cli.media import VIDEO_SUFFIXES, targets
    from featherface.cli.targets import refuse_overwriting, tidy_when_stopped
    from featherface.detector import Detector
    from featherface.images import IMAGE_SUFFIXES

    if method == "image" and image is None:
        raise ConfigError("--method image: needs --image FILE, the picture that covers the faces")
    if every < 1 or not all(isfinite(seconds) and seconds >= 0 for seconds in (bridge, margin)):
        raise ConfigError("--every must be at least 1; --bridge and --margin seconds, at least 0")
    cover = load_cover(image) if image is not None else None
    style = Style(
        "image" if image is not None else method,  # type: ignore[arg-type]  # Style checks the names
        shape,  # type: ignore[arg-type]
        grow,
        parse_colour(colour),
        cover,
    )
    found = expand(inputs, IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    results = targets(save, found)
    originals = [Path(item.path) for item in found if item.path != "-"]
    if image is not None:
        originals.append(image)
    refuse_overwriting({"--json": json}, [*originals, *results, model])
    detector = Detector(model, THRESHOLD if score_threshold is None else score_threshold, threads=threads)
    job = Job(detector, style, overwrite, keep_metadata, check, every, bridge, margin, quiet, model, threads)
    outcomes: list[Outcome] = []
    try:
        with tidy_when_stopped():
            for item, target in zip(found, results, strict=True):
                outcomes.append(_one(job, item, target, originals))
                _tell(outcomes[-1], quiet or json == "-")
    finally:
        if json is not None:
            _write_report(json, outcomes)
    if any(outcome.error or outcome.visible for outcome in outcomes):
        raise typer.Exit(1)


def parse_colour(text: str) -> tuple[int, int, int]:
    """`ff8000` or `#ff8000` to (255, 128, 0); ConfigError for anything else."""
    digits = text.removeprefix("#")
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError as error:
        raise ConfigError(f"--colour {text!r}: expected six hexadecimal digits such as ff8000") from error
    return red, green, blue


def _one(job: Job, item: Input, target: Path, originals: Sequence[Path]) -> Outcome:
    from featherface.cli.media import VIDEO_SUFFIXES

    try:
        if item.error is not None:
            raise item.error
        if Path(item.path).suffix.lower() in VIDEO_SUFFIXES:
            from featherface.cli.anonymise_video import anonymise_video

            return anonymise_video(job, item, _guarded(target, originals, job.overwrite))
        return _photo(job, item, _guarded(target, originals, job.overwrite))
    except ConfigError:
        raise
    except (FeatherFaceError, MemoryError) as error:
        return Outcome(item.path, error=str(error) or f"{item.path}: not enough memory")
    except OSError as error:
        return Outcome(item.path, error=f"{target}: cannot be written ({reason_of(error)})")


def _photo(job: Job, item: Input, target: Path) -> Outcome:
    from featherface.anonymise import anonymise_bytes, check, grown
    from featherface.atomic import write_bytes
    from featherface.errors import ImageError
    from featherface.image_frames import has_more_frames
    from featherface.images import decode_image

    source = item.source()
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise ImageError(f"{item.path}: {reason_of(error)}") from error
    if has_more_frames(data) and not job.quiet:
        print(f"featherface: {item.path}: holds several pictures, only the first is kept", file=sys.stderr)
    done = anonymise_bytes(
        data, item.path, target.suffix, job.detector, job.style, keep_metadata=job.keep_metadata
    )
    write_bytes(target, done.data)
    if not job.check:
        return Outcome(item.path, str(target), len(done.boxes))
    result = decode_image(target.read_bytes(), str(target))
    return checked(
        item.path, target, len(done.boxes), check(job.detector, result, grown(done.boxes, job.style.grow))
    )


def checked(path: str, target: Path, hidden: int, seen: Check) -> Outcome:
    """The outcome of a photo that was looked at again."""
    return Outcome(path, str(target), hidden, seen.visible.to_dict(), len(seen.covered))


def _guarded(target: Path, originals: Sequence[Path], overwrite: bool) -> Path:
    """The target, unless it is one of the inputs or, without `overwrite`, there already."""
    from featherface.cli.targets import same_file

    if any(same_file(target, original) for original in originals):
        raise FeatherFaceError(
            f"{target}: is an original, which is never overwritten; name another --save folder"
        )
    # It may be the only copy of another photo of that name. A link that leads nowhere is something, too.
    if not overwrite and os.path.lexists(target):
        raise FeatherFaceError(
            f"{target}: is there already; name another --save folder, or replace it with --overwrite"
        )
    return target


def _tell(outcome: Outcome, quiet: bool) -> None:
    if outcome.error:
        print(f"featherface: {outcome.error}", file=sys.stderr)
        return
    if not quiet:
        typer.echo(outcome.line())
    for face in outcome.visible or []:
        where = f" frame {face['frame']}" if "frame" in face else ""
        print(
            f"featherface: {outcome.saved}:{where} a face may be visible at {face['box']}, score {face['score']}",
            file=sys.stderr,
        )


def _write_report(target: str, outcomes: list[Outcome]) -> None:
    from dataclasses import asdict

    from featherface.atomic import write_text
    from featherface.cli.targets import writing

    text = json_format.dumps({"results": [asdict(o) for o in outcomes]}, indent=1, ensure_ascii=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    with writing(Path(target)):
        write_text(target, text)
