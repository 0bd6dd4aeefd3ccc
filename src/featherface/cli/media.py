"""Which inputs are videos, whether the extra that reads them is there, what finds their faces, and what file each
input becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from featherface.errors import MissingExtraError

if TYPE_CHECKING:
    from featherface.cli.inputs import Input
    from featherface.detections import Detections
    from featherface.video import Frame, VideoReader

VIDEO_SUFFIXES = frozenset(
    {
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".m2ts",
        ".vob",
        ".wmv",
        ".asf",
        ".3gp",
        ".flv",
        ".ogv",
    }
)


def need_video() -> None:
    """Raises MissingExtraError when the `video` extra is not installed."""
    for package, module in (("PyAV", "av"), ("trackers", "trackers")):
        if find_spec(module) is None:
            raise MissingExtraError(package, "video")


def detectors(
    reader: VideoReader,
    model: str,
    score_threshold: float,
    threads: int | None = None,
    long_side: int | None = None,
) -> tuple[Callable[[Frame], Detections], int]:
    """What finds the faces of a frame, and from how many threads it is best called."""
    from featherface.detector import Detector
    from featherface.video import Detectors, shared_out

    width, height = reader.source.width, reader.source.height
    scale = 1.0 if long_side is None else long_side / max(width, height)
    at_once, each = shared_out(round(width * height * scale * scale), threads)
    several = Detectors(lambda: Detector(model, score_threshold, threads=each))
    return partial(several.detect, long_side=long_side), at_once


def targets(save: Path, inputs: Sequence[Input]) -> list[Path]:
    """The file in the folder `save` that each input becomes; no two are the same, in whatever case.

    A format that cannot be written gets the suffix of one that can, so that only here is it known which names
    are taken.
    """
    from featherface.cli.inputs import unique

    taken: set[str] = set()
    return [save / unique(_with_writable_suffix(item.output, item.path), taken) for item in inputs]


def _with_writable_suffix(output: Path, path: str) -> Path:
    suffix = output.suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        from featherface.anonymise.photo import WRITABLE as PHOTOS

        return output if suffix in PHOTOS else output.with_name(f"{output.name}.png")
    try:
        from featherface.video import is_live
        from featherface.video.sound import suffix_for_sound
        from featherface.video.write import WRITABLE as VIDEOS
    except ImportError:
        return output  # without the extra no video is written at all
    if suffix in VIDEOS:
        return output
    # A stream is not opened for its sound: it is refused later, and might say nothing for ever.
    return output.with_name(f"{output.name}{'.mp4' if is_live(path) else suffix_for_sound(Path(path))}")
