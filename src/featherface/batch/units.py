"""A unit of work: a file or a part of it, and how the bytes of its pictures are had."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from featherface.errors import DataError
from featherface.images import IMAGE_SUFFIXES

Load = Callable[[], bytes]
"""Gives the bytes of one picture, or raises DataError."""


@dataclass(frozen=True)
class Unit:
    """A file, or a part of it: rows `start` to `stop` of Parquet, bytes `start` to `stop` of a tar."""

    path: str
    start: int | None = None
    stop: int | None = None
    count: int | None = 1
    """How many pictures it holds; None when nobody has looked."""


def failing(error: DataError) -> Load:
    """How to get the bytes of a picture that cannot be had."""

    def load() -> bytes:
        raise error

    return load


def is_picture(name: str) -> bool:
    """Whether the suffix is that of a picture."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122
