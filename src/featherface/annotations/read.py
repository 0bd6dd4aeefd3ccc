"""Readers of label files."""

from __future__ import annotations

from pathlib import Path

from featherface.annotations.retinaface import read_retinaface
from featherface.annotations.types import Annotation
from featherface.errors import DataError


def read_annotations(source: str | Path, format: str = "auto") -> list[Annotation]:
    """The labelled pictures of a file or folder; DataError names the file and line of what is wrong."""
    path = Path(source)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if format in ("auto", "retinaface"):
        return read_retinaface(path)
    raise DataError(f"{path}: unknown label format {format!r}")
