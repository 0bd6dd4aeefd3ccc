"""What a video may be called: a file, a `file:` address of one, a folder or pattern of pictures, a camera, a stream."""

from __future__ import annotations

import sys
from pathlib import Path

from featherface.addresses import local_path
from featherface.errors import VideoError
from featherface.images import IMAGE_SUFFIXES


def is_live(name: str) -> bool:
    """Whether it is a camera or a stream, which can be seen only once."""
    name = local_path(name)
    return is_camera(name) or "://" in name


def is_camera(name: str) -> bool:
    """Whether it is a camera's number."""
    return name.isdecimal()  # not isdigit: that a superscript is, which is no number


def source_files(name: str) -> list[Path]:
    """The files that `open_video` reads from: none for cameras and streams."""
    return [] if is_live(name) else stills(name) or [Path(local_path(name))]


def stills(name: str) -> list[Path] | None:
    """The pictures of a folder or a pattern such as `frame_*.png`, in the order of their names; None for others.

    Raises VideoError when there are none.
    """
    name = local_path(name)
    path = Path(name)
    if is_live(name) or path.is_file():
        return None
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    elif any(sign in path.name for sign in "*?["):
        found = sorted(p for p in path.parent.glob(path.name) if p.suffix.lower() in IMAGE_SUFFIXES)
    else:
        return None
    if not found:
        raise VideoError(f"{name}: holds no pictures")
    return found


def camera(number: int) -> tuple[str, str]:
    """FFmpeg's address and format of a camera; VideoError where it has none."""
    cameras = {"linux": (f"/dev/video{number}", "v4l2"), "darwin": (str(number), "avfoundation")}
    if sys.platform not in cameras:
        raise VideoError(f"camera {number}: cameras are read on Linux and macOS; name a URL or a file here")
    return cameras[sys.platform]
