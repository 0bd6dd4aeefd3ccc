"""What a run writes beside its weights: CSV rows and, where it is installed, TensorBoard."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from featherface.atomic import write_text


class RunLog:
    """Two tables, `train.csv` and `validation.csv`; every row carries the step it belongs to."""

    def __init__(self, folder: Path, first_step: int) -> None:
        self.folder = folder
        for name in ("train", "validation"):
            _forget_after(folder / f"{name}.csv", first_step)
        self.board = _tensorboard(folder, first_step)

    def add(self, table: str, step: int, values: dict[str, float]) -> None:
        """Append one row; the first one writes the head."""
        path = self.folder / f"{table}.csv"
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")  # as the rows that a resumed run keeps
            if fresh:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])
        if self.board is not None:
            for key, value in values.items():
                self.board.add_scalar(f"{table}/{key}", value, step)

    def close(self) -> None:
        """Flush TensorBoard."""
        if self.board is not None:
            self.board.close()


def _forget_after(path: Path, step: int) -> None:
    """Drop rows that a resumed run will write again."""
    if not path.exists():
        return
    # A full disk or a lost machine may leave an empty file, or half a row at its end.
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    numbered = [(row, row.split(",", 1)[0]) for row in lines[1:]]
    kept = [row for row, number in numbered if number.isdecimal() and int(number) <= step]
    if step == 0 or not lines:
        path.unlink()
    else:
        write_text(path, "\n".join([lines[0], *kept]) + "\n")


def _tensorboard(folder: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=first_step)
