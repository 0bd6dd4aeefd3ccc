"""Which inputs are videos, and whether the extra that reads them is there."""

from __future__ import annotations

from importlib.util import find_spec

from featherface.errors import MissingExtraError

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
        ".wmv",
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
