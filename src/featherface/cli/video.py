"""`featherface video`: faces found, drawn and followed in videos, image sequences, cameras and streams."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.errors import ConfigError, FeatherFaceError

if TYPE_CHECKING:
    from featherface.video import Frame

_OUTPUTS = "Outputs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(video)


def video(
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="A video file, a folder or pattern of pictures, a camera's number, or a URL such as rtsp://.",
        ),
    ],
    save: Annotated[
        Path | None,
        typer.Option(help="Video with boxes, landmarks and track ids drawn in.", rich_help_panel=_OUTPUTS),
    ] = None,
    json: Annotated[
        str | None, typer.Option(help="Write JSON, an entry a frame; - for output.", rich_help_panel=_OUTPUTS)
    ] = None,
    csv: Annotated[
        str | None, typer.Option(help="Write CSV, a row a face.", rich_help_panel=_OUTPUTS)
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Open a window; q or Escape ends.", rich_help_panel=_OUTPUTS)
    ] = False,
    model: Annotated[str, typer.Option(help="A shipped model or a model file.")] = "v2",
    score_threshold: Annotated[float, typer.Option(help="Keep faces of at least this score.")] = 0.5,
    long_side: Annotated[
        int | None, typer.Option(help="Detect in a copy whose longer side has this many pixels.")
    ] = None,
    every: Annotated[int, typer.Option(help="Detect in every Nth frame, tracks between.")] = 1,
    frames: Annotated[int | None, typer.Option(help="Stop after this many; for cameras and streams.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of the detector, all when not given.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no summary.")] = False,
) -> None:
    """Find and follow the faces in a video. Time stamps, rotation and sound stay as they are."""
    from featherface.cli.media import detectors, need_video
    from featherface.cli.targets import refuse_overwriting, tidy_when_stopped

    need_video()
    if any(number is not None and number < 1 for number in (every, frames, threads)):
        raise ConfigError("--every, --frames and --threads must be at least 1")
    if show:
        need_window()
    from featherface.cli.progress import frames_bar
    from featherface.video import (
        Records,
        ahead,
        draw_tracked,
        open_video,
        open_writer,
        source_files,
        tracked_frames,
    )

    refuse_overwriting({"--save": save, "--json": json, "--csv": csv}, [*source_files(source), model])

    with ExitStack() as stack:
        stack.enter_context(tidy_when_stopped())
        reader = stack.enter_context(open_video(source))
        detect, at_once = detectors(reader, model, score_threshold, threads, long_side)
        records = stack.enter_context(Records.open(reader.source, json, csv))
        writer = stack.enter_context(open_writer(save, reader)) if save is not None else None
        total = frames or reader.source.frames
        advance = stack.enter_context(frames_bar("video", total, quiet or json == "-"))
        decoded = reader.frames(writer.copy if writer is not None else None)
        upcoming = stack.enter_context(ahead(_limited(decoded, frames)))
        gone: FeatherFaceError | None = None
        count, ids = 0, set[int]()
        try:
            for frame, tracked in tracked_frames(upcoming, reader.source, detect, every, at_once=at_once):
                records.write(frame, tracked)
                count += 1
                ids.update(int(i) for i in tracked.ids if i >= 0)
                if writer is not None or show:
                    drawn, changed = draw_tracked(frame.image, tracked)
                    if writer is not None:
                        writer.write(frame, drawn, changed)
                    if show and not _shown(drawn):
                        break
                advance()
        except FeatherFaceError as error:
            # What a camera showed before it went away cannot be had again: it is kept, whole.
            if not (reader.source.live and count):
                raise
            gone = error
        except KeyboardInterrupt:
            if not reader.source.live:
                raise
        # All that can fail comes before any of the files appears under its name.
        records.finish()
        if writer is not None:
            writer.finish()
    if gone is not None:
        raise FeatherFaceError(f"{gone}; what came before is kept") from gone
    if not quiet and json != "-":
        typer.echo(f"{count:,} frames, {len(ids):,} tracks" + (f", saved as {save}" if save else ""))


def need_window() -> None:
    """Raises FeatherFaceError when this OpenCV, or this machine, has no window to show."""
    import os

    import cv2

    gui = next(
        (line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")), "NONE"
    )
    if "NONE" in gui:
        raise FeatherFaceError(
            "--show: this OpenCV is built without windows; pip install opencv-python, or use --save"
        )
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise FeatherFaceError("--show: there is no display here; use --save")


def _shown(image: object) -> bool:
    """Put the frame into the window; False when the user closed it."""
    import cv2
    import numpy as np

    cv2.imshow("featherface", np.asarray(image)[..., ::-1])
    return cv2.waitKey(1) & 0xFF not in (ord("q"), 27)


def _limited(frames: Iterator[Frame], count: int | None) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        if count is not None and frame.index + 1 >= count:
            return
