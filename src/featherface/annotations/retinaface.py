"""RetinaFace's label.txt: `# path`, then per face x y w h, five times x y flag, and perhaps blur."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from featherface.annotations.types import Annotation
from featherface.errors import DataError

_NUMBERS = 19


def read_retinaface(path: Path) -> list[Annotation]:
    """The pictures of a label.txt; they lie in `images/` beside it, or beside it. -1 marks unknown points."""
    folder = path.parent / "images" if (path.parent / "images").is_dir() else path.parent
    found: list[Annotation] = []
    name = ""
    rows: list[list[float]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#"):
            if name:
                found.append(_annotation(folder / name, rows))
            name, rows = line[1:].strip(), []
        elif line.strip():
            rows.append(_row(line, f"{path}:{number}", name))
    if name:
        found.append(_annotation(folder / name, rows))
    return found


def _row(line: str, where: str, name: str) -> list[float]:
    try:
        values = [float(part) for part in line.split()]
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if not name:
        raise DataError(f"{where}: a face before the first '# path' line")
    if len(values) < 4 or 4 < len(values) < _NUMBERS:
        raise DataError(f"{where}: {len(values)} numbers; a face has 4, or {_NUMBERS} and perhaps blur")
    return values[:4] + (values[4:_NUMBERS] if len(values) >= _NUMBERS else [-1.0] * 15)


def _annotation(path: Path, rows: list[list[float]]) -> Annotation:
    values = np.array(rows, np.float32).reshape(-1, _NUMBERS)
    boxes = np.concatenate([values[:, :2], values[:, :2] + values[:, 2:4]], 1)
    points = values[:, 4:].reshape(-1, 5, 3)[..., :2].copy()
    unknown = np.asarray((points < 0).all(2), bool)
    points[unknown.any(1)] = np.nan
    ignored = np.asarray((values[:, 2:4] < 1).any(1), bool)
    return Annotation(path, boxes, points, ignored)
