"""WIDER FACE's official `wider_face_train_bbx_gt.txt` (Yang 2016, readme of wider_face_split).

A picture is its name, its number of faces, and a line per face: `x y w h blur expression illumination
invalid occlusion pose`. A picture without faces has the number 0 and, all the same, one line of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from featherface.annotations.files import Report, numbers, picture_folder, picture_name, read_text, stop
from featherface.annotations.types import Annotation, faces_of
from featherface.atomic import write_text
from featherface.errors import DataError

_COLUMNS, _INVALID = 10, 7
_NO_FACE = "0 0 0 0 0 0 0 0 0 0"


def read_wider(path: Path, report: Report = stop) -> list[Annotation]:
    """The pictures of an official list, its invalid faces ignored; the format has no landmarks.

    The pictures lie in `images/` beside the file, or where the official archives put them: the file in
    `wider_face_split/`, the pictures in `WIDER_train/images/` or `WIDER_val/images/` beside that folder.
    """
    folder = _official_folder(path) or picture_folder(path)
    found: list[Annotation] = []
    for start, lines in _blocks(path):
        try:
            found.append(_annotation(folder, path, start, lines))
        except DataError as error:
            report(error)
    return found


def write_wider(annotations: Sequence[Annotation], target: Path) -> None:
    """Write an official list: whole pixels, ignored faces as invalid, other attributes 0, no landmarks."""
    folder = _official_folder(target) or picture_folder(target)
    lines: list[str] = []
    for annotation in annotations:
        lines += [picture_name(annotation.path, folder), str(len(annotation))]
        corners = np.round(annotation.boxes).astype(int)
        for (x1, y1, x2, y2), ignored in zip(corners.tolist(), annotation.ignored, strict=True):
            lines.append(f"{x1} {y1} {x2 - x1} {y2 - y1} 0 0 0 {int(ignored)} 0 0")
        if not len(annotation):
            lines.append(_NO_FACE)
    write_text(target, "".join(line + "\n" for line in lines))


def _official_folder(path: Path) -> Path | None:
    split = "val" if "_val_" in path.name else "train"
    folder = path.parent.parent / f"WIDER_{split}" / "images"
    return folder if folder.is_dir() else None


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each picture's first line number and its lines. DataError where the next picture cannot be found."""
    lines = [line.strip() for line in read_text(path).split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    at = 0
    while at < len(lines):
        if at + 1 >= len(lines) or not lines[at + 1].isdecimal():
            raise DataError(f"{path}:{at + 2}: expected the number of faces of {lines[at]!r}")
        count = int(lines[at + 1])
        end = at + 2 + count
        if count == 0 and end < len(lines) and lines[end].split() == _NO_FACE.split():
            end += 1
        if end > len(lines):
            raise DataError(f"{path}:{len(lines)}: the file ends before the {count} faces of {lines[at]!r}")
        yield at + 1, lines[at : at + 2 + count]
        at = end


def _annotation(folder: Path, path: Path, start: int, lines: list[str]) -> Annotation:
    rows = [_row(line, f"{path}:{start + 2 + i}") for i, line in enumerate(lines[2:])]
    values = np.array(rows, np.float32).reshape(-1, _COLUMNS)
    boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], 1)
    return faces_of(folder / lines[0], boxes, ignored=values[:, _INVALID])


def _row(line: str, where: str) -> list[float]:
    values = numbers(line, where)
    if len(values) != _COLUMNS:
        raise DataError(f"{where}: {len(values)} numbers; a face has {_COLUMNS}")
    if values[2] < 0 or values[3] < 0:
        raise DataError(f"{where}: a box of {values[2]:g} x {values[3]:g} pixels")
    return values
