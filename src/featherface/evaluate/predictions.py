"""Prediction files in the official text format: `<event>/<name>.txt` with name, count, then x y w h score."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface.atomic import write_text
from featherface.errors import DataError
from featherface.evaluate.ground_truth import ImageTruth

Rows = NDArray[np.float64]


def read_predictions(
    folder: str | Path, truths: Sequence[ImageTruth], known: Collection[tuple[str, str]] = ()
) -> tuple[dict[tuple[str, str], Rows], list[str]]:
    """Predictions by (event, name), and the names of pictures whose file is missing.

    `known` are further pictures (event, name) whose events the folder may hold. DataError names file and line of a
    wrong count, a line that is not five numbers, NaN or a negative size; and a folder that is not there, empty, or
    holds an unknown event.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder of predictions")
    events = {t.event for t in truths}.union(event for event, _ in known)
    folders = {Path(event).parts[0] for event in events if event != "."}
    unknown = sorted(p.name for p in root.iterdir() if p.is_dir() and p.name not in folders)
    if unknown:
        raise DataError(f"{root / unknown[0]}: not an event of these pictures")
    found, missing = {}, []
    for truth in truths:
        path = root / truth.event / f"{truth.name}.txt"
        if path.is_file():
            found[truth.event, truth.name] = read_prediction_file(path)
        else:
            missing.append(f"{truth.event}/{truth.name}")
    if not found:
        raise DataError(f"{root}: holds no prediction file for these pictures")
    return found, missing


def read_prediction_file(path: Path) -> Rows:
    """One file's detections (N, 5) x, y, w, h, score."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if len(lines) < 2:
        raise DataError(f"{path}: empty; expected a name, a count and one line a detection")
    try:
        count = int(lines[1])
    except ValueError as error:
        raise DataError(f"{path}:2: {lines[1]!r} is not a count") from error
    numbered = [(number, line.split()) for number, line in enumerate(lines[2:], 3) if line.strip()]
    if count != len(numbered):
        raise DataError(f"{path}:2: announces {count} detections, holds {len(numbered)}")
    if not numbered:
        return np.zeros((0, 5))
    try:
        values = np.array([parts for _, parts in numbered], np.float64)
        if values.shape[1] == 5 and np.isfinite(values).all() and (values[:, 2:4] >= 0).all():
            return values
    except ValueError:
        pass  # some line is no row of numbers, or has more of them than others: one by one they tell which
    return np.array([_row(parts, f"{path}:{number}") for number, parts in numbered], np.float64)


def other_files(folder: str | Path, expected: Collection[tuple[str, str]]) -> list[Path]:
    """The text files below a folder that are no prediction file of these (event, name)."""
    root = Path(folder)
    own = {root / event / f"{name}.txt" for event, name in expected}
    return sorted(path for path in root.rglob("*.txt") if path not in own)


def write_predictions(folder: str | Path, event: str, name: str, rows: NDArray[np.floating]) -> None:
    """Write one picture's detections (N, 5) x, y, w, h, score, atomically."""
    lines = [(Path(event) / f"{name}.jpg").as_posix(), str(len(rows))]
    lines += [f"{x:.3f} {y:.3f} {w:.3f} {h:.3f} {score:.6f}" for x, y, w, h, score in rows]
    write_text(Path(folder) / event / f"{name}.txt", "\n".join(lines) + "\n")


def _row(parts: list[str], where: str) -> list[float]:
    if len(parts) != 5:
        raise DataError(f"{where}: {len(parts)} numbers; a detection has x y w h score")
    try:
        values = [float(part) for part in parts]
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    if not np.isfinite(values).all():
        raise DataError(f"{where}: a value is not a finite number")
    if values[2] < 0 or values[3] < 0:
        raise DataError(f"{where}: negative size {values[2]:g} x {values[3]:g}")
    return values
