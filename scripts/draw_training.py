"""Draws the curves of training logs, one stage after another.

python scripts/draw_training.py docs/training/v2_stage1.csv docs/training/v2_stage2.csv \
    --save docs/training/v2.png
"""

import argparse
import csv
from pathlib import Path

import matplotlib

from featherface.atomic import atomic_path

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PANELS = (
    ("classes", "class loss"),
    ("boxes", "box loss"),
    ("landmarks", "landmark loss"),
    ("lr", "learning rate"),
)
SMOOTH = 15


def main() -> None:
    """One panel a quantity, stages side by side on one axis of crops seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--save", type=Path, required=True)
    arguments = parser.parse_args()

    figure, axes = plt.subplots(2, 2, figsize=(9, 5), sharex=True)
    seen = 0.0
    for log in arguments.logs:
        with log.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        crops = [seen + int(row["step"]) * arguments.batch_size / 1000 for row in rows]
        for axis, (key, title) in zip(axes.flat, PANELS, strict=True):
            axis.plot(crops, smoothed([float(row[key]) for row in rows]), label=log.stem)
            axis.set_title(title, fontsize=9)
            axis.grid(alpha=0.3)
        seen = crops[-1]
    axes[0, 0].legend(fontsize=8)
    for axis in axes[1]:
        axis.set_xlabel("thousand crops")
    figure.tight_layout()
    with atomic_path(arguments.save) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def smoothed(values: list[float]) -> list[float]:
    """The mean of each value and the ones just before it."""
    return [
        sum(values[max(0, i - SMOOTH) : i + 1]) / len(values[max(0, i - SMOOTH) : i + 1])
        for i in range(len(values))
    ]


if __name__ == "__main__":
    main()
