"""What the label formats share: where pictures lie, text files, numbers, and how problems are reported."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from featherface.errors import DataError, FeatherFaceError, reason_of
from featherface.images import IMAGE_SUFFIXES

Report = Callable[[FeatherFaceError], None]
"""Told of each picture whose labels are wrong; when it returns, that picture is left out."""

FACE, IGNORED = "face", "ignored"
"""Class names of the formats that have classes."""

LABEL_FOLDERS = {"labels", "annotations", "wider_face_split"}
"""Names, in lower case, of folders that hold labels beside a folder of pictures."""

SPLIT = re.compile(r"(train(ing|val)?|val(id|idation)?|test(ing|-dev)?|dev)[-_]?\d*", re.IGNORECASE)
"""Names of splits."""


def stop(error: FeatherFaceError) -> NoReturn:
    """The report that gives up at the first problem."""
    raise error


def read_text(path: Path) -> str:
    """The UTF-8 text of a file (a byte order mark is dropped); DataError when it has none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {reason_of(error)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file ({error.reason} at byte {error.start})") from error


def class_name(text: object) -> str:
    """A class's name as it is compared: `Face` is `face`."""
    return str(text).strip().lower()


def lines_of(path: Path) -> list[str]:
    """The lines of a file that are not empty; none when there is no such file."""
    return [line.strip() for line in read_text(path).split("\n") if line.strip()] if path.is_file() else []


def picture_folder(labels: Path) -> Path:
    """The folder that the picture names of a label file count from.

    `images/` beside the file; else, for a file in a folder of labels, `images/` or `JPEGImages/` beside that
    folder; else the file's own folder.
    """
    here = labels.parent
    places = [here / "images"]
    if here.name.lower() in LABEL_FOLDERS:
        places += [here.parent / "images", here.parent / "JPEGImages"]
    return next((place for place in places if place.is_dir()), here)


def picture_name(picture: Path, folder: Path) -> str:
    """How a label file names a picture: from its picture folder when it lies below, absolute otherwise."""
    whole = picture.absolute()
    name = whole.relative_to(folder.absolute()) if whole.is_relative_to(folder.absolute()) else whole
    text = name.as_posix()
    if text != text.strip() or "\n" in text:
        raise DataError(f"{str(picture)!r}: a label file cannot name a picture with such spaces in its name")
    return text


def one_file_each(pictures: Sequence[Path], place_of: Callable[[Path], Path]) -> list[Path]:
    """The label file of each picture; DataError, before anything is written, when two would share one."""
    places: dict[Path, int] = {}
    for number, picture in enumerate(pictures):
        other = places.setdefault(place_of(picture), number)
        if other != number:
            raise DataError(f"{picture}: would share a label file with {pictures[other]}")
    return list(places)


def picture_files(folder: Path) -> list[Path]:
    """All pictures below a folder, by name."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())


def numbers(line: str, where: str) -> list[float]:
    """The numbers of a line; DataError at `where` (file:line) for anything that is none or not finite."""
    try:
        values = [float(part) for part in line.split()]
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    # inf - inf and nan - nan are nan: one sum finds both.
    total = sum(values)
    if total - total != 0:
        raise DataError(f"{where}: a number that is not finite")
    return values


def decimal(value: float) -> str:
    """A number with up to three decimals and no more than it needs: thousandths of a pixel."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
