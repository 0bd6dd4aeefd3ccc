"""A search as a table and as a picture."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from featherface.atomic import atomic_path, write_text
from featherface.prune.layout import PARTS
from featherface.prune.search import Measured, Trial
from featherface.runtimes.versions import import_failure


def write_table(trials: Sequence[Trial], original: Measured, target: Path) -> None:
    """One row a trial, as CSV; the first row is the original network, which had no recovery."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "ap", "latency_ratio", "parameters", "on_front", *PARTS])
    writer.writerow(["original", *_cells(original), "", *("0" for _ in PARTS)])
    for trial in trials:
        rates = dataclasses.asdict(trial.rates)
        cells = [f"{rates[part]:g}" for part in PARTS]
        writer.writerow([trial.number, *_cells(trial.measured), int(trial.best), *cells])
    write_text(target, text.getvalue())


def draw(trials: Sequence[Trial], original: Measured, title: str, target: Path) -> None:
    """AP against latency as PNG; a dot's colour and size are its parameters, the front's have a dark edge."""
    pyplot = load_pyplot()
    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    values = [t.measured for t in trials]
    dots = axes.scatter(
        [m.latency for m in values],
        [m.ap for m in values],
        s=[20 + m.parameters / 1500 for m in values],
        c=[m.parameters / 1000 for m in values],
        cmap="viridis",
        edgecolors=["black" if t.best else "none" for t in trials],
        linewidths=1.4,
    )
    for trial in (t for t in trials if t.best):
        place = (trial.measured.latency, trial.measured.ap)
        axes.annotate(str(trial.number), place, xytext=(7, -3), textcoords="offset points", fontsize=8)
    axes.plot(original.latency, original.ap, "r*", markersize=13)
    axes.annotate("original", (original.latency, original.ap), xytext=(-52, -4), textcoords="offset points")
    axes.set(
        xlabel="time in ONNX Runtime, original = 1", ylabel="AP on held-out training pictures", title=title
    )
    axes.grid(alpha=0.3)
    figure.colorbar(dots, label="thousand parameters")
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=130)
    pyplot.close(figure)


def load_pyplot() -> Any:
    """What draws; MissingExtraError without it, ModelError where it is broken."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise import_failure(error, "matplotlib", "prune") from error
    return pyplot


def _cells(measured: Measured) -> tuple[str, str, str]:
    return f"{measured.ap:.5f}", f"{measured.latency:.4f}", str(measured.parameters)
