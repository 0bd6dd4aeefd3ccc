"""RetinaFace's label.txt: `# picture`, then a line per face (Deng 2020, github.com/deepinsight/insightface).

A face is `x y w h`, five times `x y flag` (-1 -1 -1 where unknown), and perhaps a blur score, -1 unknown.
A 21st number that is not 0 marks a face as ignored: ours, other readers stop at the 19th or 20th.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featherface.annotations.files import (
    Report,
    decimal,
    numbers,
    picture_folder,
    picture_name,
    read_text,
    stop,
)
from featherface.annotations.types import Annotation, faces_of
from featherface.atomic import write_text
from featherface.errors import DataError

_BOX, _FACE, _MARKED = 4, 19, 21
_NO_POINTS = [-1.0] * (_FACE - _BOX)
_UNKNOWN_POINTS = " ".join(["-1"] * (_FACE - _BOX))


def read_retinaface(path: Path, report: Report = stop) -> list[Annotation]:
    """The pictures of a label.txt, which lie in `images/` beside it, or beside it."""
    folder = picture_folder(path)
    found: list[Annotation] = []
    lines = [line.strip() for line in read_text(path).split("\n")]
    heads = [i for i, line in enumerate(lines) if line.startswith("#")]
    first = next((i for i, line in enumerate(lines) if line), None)
    if first is not None and (not heads or first < heads[0]):
        report(DataError(f"{path}:{first + 1}: a face before the first '# picture' line"))
    for start, end in zip(heads, [*heads[1:], len(lines)], strict=False):
        try:
            found.append(_annotation(folder, path, lines[start:end], start + 1))
        except DataError as error:
            report(error)
    return found


def write_retinaface(annotations: Sequence[Annotation], target: Path) -> None:
    """Write a label.txt. Blur is written as unknown, the flag of a known landmark as 0."""
    folder = picture_folder(target)
    lines: list[str] = []
    for annotation in annotations:
        lines.append(f"# {picture_name(annotation.path, folder)}")
        faces = zip(
            annotation.boxes, annotation.landmarks, annotation.ignored, annotation.with_landmarks, strict=True
        )
        for (x1, y1, x2, y2), points, ignored, known in faces:
            box = " ".join(decimal(float(v)) for v in (x1, y1, x2 - x1, y2 - y1))
            marks = " ".join(f"{decimal(float(x))} {decimal(float(y))} 0" for x, y in points)
            lines.append(f"{box} {marks if known else _UNKNOWN_POINTS} -1{' 1' if ignored else ''}")
    write_text(target, "".join(line + "\n" for line in lines))


def _annotation(folder: Path, path: Path, lines: list[str], number: int) -> Annotation:
    name = lines[0][1:].strip()
    if not name:
        raise DataError(f"{path}:{number}: '#' without the name of a picture")
    rows = [_row(line, f"{path}:{number + i}") for i, line in enumerate(lines) if i and line]
    values = np.array(rows, np.float32).reshape(-1, _FACE + 1)
    boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], 1)
    points = values[:, _BOX:_FACE].reshape(-1, 5, 3)
    landmarks = np.where(points[..., 2:] < 0, np.float32(np.nan), points[..., :2])
    return faces_of(folder / name, boxes, landmarks, values[:, _FACE])


def _row(line: str, where: str) -> list[float]:
    """Box, points and whether the face is ignored: 20 numbers."""
    values = numbers(line, where)
    if len(values) != _BOX and not _FACE <= len(values) <= _MARKED:
        raise DataError(f"{where}: {len(values)} numbers; a face has {_BOX}, or {_FACE} to {_MARKED}")
    if values[2] < 0 or values[3] < 0:
        raise DataError(f"{where}: a box of {values[2]:g} x {values[3]:g} pixels")
    points = values[_BOX:_FACE] or _NO_POINTS
    return [*values[:_BOX], *points, float(len(values) == _MARKED and values[-1] != 0)]
