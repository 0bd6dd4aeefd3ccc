"""Draws the curves of a training, one stage after another.

    python scripts/draw_training.py configs/v2_stage1.toml configs/v2_stage2.toml --save docs/training/v2.png

The log of each recipe is the one of its name in docs/training.
"""

import argparse
import csv
from pathlib import Path

import matplotlib

from featherface.atomic import atomic_path
from featherface.train.config import load_config

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PANELS = (
    ("classes", "class loss"),
    ("boxes", "box loss"),
    ("landmarks", "landmark loss"),
    ("lr", "learning rate"),
)
SMOOTH = 15
LOGS = Path(__file__).resolve().parents[1] / "docs" / "training"


def main() -> None:
    """One panel a quantity, stages side by side on one axis of crops seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="+", type=Path)
    parser.add_argument("--save", type=Path, required=True)
    arguments = parser.parse_args()

    figure, axes = plt.subplots(2, 2, figsize=(9, 5), sharex=True, layout="constrained")
    for axis in axes.flat:
        axis.set_prop_cycle(color=plt.get_cmap("tab20").colors)
    seen = 0.0
    for path in arguments.recipes:
        recipe = load_config(path)
        with (LOGS / f"{recipe.name}.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        crops = [seen + int(row["step"]) * recipe.batch_size / 1000 for row in rows]
        for axis, (key, title) in zip(axes.flat, PANELS, strict=True):
            axis.plot(crops, smoothed([float(row[key]) for row in rows]), label=recipe.name)
            axis.set_title(title, fontsize=9)
            axis.grid(alpha=0.3)
        seen = crops[-1]
    for axis in axes[1]:
        axis.set_xlabel("thousand crops")
    # Below the panels: a dozen stages would cover one of them.
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncol=6, fontsize=8)
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
