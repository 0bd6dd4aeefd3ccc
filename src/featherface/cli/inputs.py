"""What the user named on the command line, as a list of pictures with a name for each output."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from featherface.addresses import local_path
from featherface.errors import FeatherFaceError, ImageError
from featherface.images import IMAGE_SUFFIXES

STDIN = "-"


@dataclass(frozen=True)
class Input:
    """One picture to look at, or the reason why there is none."""

    path: str
    """As the user named it; `-` is standard input."""
    output: Path
    """Relative name for what is written about it, unique among the inputs, in whatever case of letters."""
    stem: Path
    """The same without a suffix, and unique without it."""
    error: FeatherFaceError | None = None

    def source(self) -> Path | bytes:
        """What `Detector.detect` takes."""
        if self.error is not None:
            raise self.error
        if self.path != STDIN:
            return Path(self.path)
        if sys.stdin is None:
            raise ImageError("standard input: is closed")
        return sys.stdin.buffer.read()


def expand(names: Sequence[str], suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Input]:
    """Files, folders (recursively, files with these suffixes), globs and `-`; one Input a picture, none twice
    under one name."""
    taken: set[str] = set()
    stems: set[str] = set()
    return [
        Input(path, unique(output, taken), unique(output.with_suffix(""), stems), error)
        for name in names
        for path, output, error in _expand_one(name, suffixes)
    ]


def _expand_one(name: str, suffixes: Collection[str]) -> Iterator[tuple[str, Path, FeatherFaceError | None]]:
    # Behind a URL an original would not be known as one, and be written over.
    name = local_path(name)
    path = Path(name)
    if name == STDIN:
        yield name, Path("stdin.png"), None
    elif os.path.isdir(path):  # noqa: PTH112 - pathlib's raises for names that cannot be looked at
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
        for picture in found:
            yield str(picture), picture.relative_to(path), None
        if not found:
            yield name, Path(path.name or "none"), ImageError(f"{name}: a folder without pictures")
    elif not os.path.exists(path) and glob.has_magic(name):  # noqa: PTH110
        matches = sorted(m for m in glob.glob(name, recursive=True) if Path(m).is_file())  # noqa: PTH207
        for match in matches:
            yield match, Path(Path(match).name), None
        if not matches:
            yield name, Path("none"), ImageError(f"{name}: matches no file")
    else:
        # A missing file is reported when it is read, like every other bad one.
        yield name, Path(path.name), None


def unique(output: Path, taken: set[str]) -> Path:
    """The name, or one with a number where it is taken already, in whatever case of letters; taken from now on."""
    candidate, number = output, 2
    while str(candidate).casefold() in taken:
        candidate = output.with_name(f"{output.stem}-{number}{output.suffix}")
        number += 1
    taken.add(str(candidate).casefold())
    return candidate
