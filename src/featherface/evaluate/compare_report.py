"""Comparisons as a table, as JSON values and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from featherface.atomic import atomic_path
from featherface.errors import MissingExtraError
from featherface.evaluate.compare import Compared, Spread

HEADER = ("detector", "parameters", "M MACs", "MB", "network ms", "whole ms", "Easy", "Medium", "Hard")
MARKERS = "osD^vPX*<>hp"


def table_rows(results: Sequence[Compared]) -> list[tuple[str, ...]]:
    """One row of text per detector, in the order of `HEADER`; AP in percent, latency as median (quartiles)."""
    return [
        (
            r.name,
            "" if r.parameters is None else f"{r.parameters:,}",
            "" if r.multiply_adds is None else f"{r.multiply_adds / 1e6:,.0f}",
            f"{r.file_bytes / 1e6:.2f}",
            _times(r.network_ms),
            _times(r.whole_ms),
            *(f"{100 * value:.1f}" for value in r.ap.values()),
        )
        for r in results
    ]


def to_json(results: Sequence[Compared], facts: dict[str, object]) -> dict[str, object]:
    """Plain values; AP as fractions, latency in milliseconds."""
    return {**facts, "detectors": [dataclasses.asdict(r) for r in results]}


def draw(results: Sequence[Compared], path: Path, title: str) -> None:
    """AP against latency of the whole detection, a panel per subset. Up and to the left is better.

    The dashed line joins the detectors than which none is both faster and better.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "evaluate") from error
    subsets, colours = list(results[0].ap), colormaps["tab20"]
    figure = Figure(figsize=(4.2 * len(subsets), 4.6), layout="constrained")
    panels = figure.subplots(1, len(subsets), squeeze=False)[0]
    for axes, subset in zip(panels, subsets, strict=True):
        for number, r in enumerate(results):
            x, y = r.whole_ms.median, 100 * r.ap[subset]
            spread = [[x - r.whole_ms.low], [r.whole_ms.high - x]]
            look = {"fmt": MARKERS[number % len(MARKERS)], "color": colours(number % colours.N)}
            axes.errorbar(x, y, xerr=spread, label=r.name, capsize=2, **look)
        front = pareto([(r.whole_ms.median, r.ap[subset]) for r in results])
        axes.plot([x for x, _ in front], [100 * y for _, y in front], "--", color="grey", lw=0.8, zorder=0)
        axes.set(title=subset.title(), xlabel="ms per 640x640 picture, one thread", ylabel="AP")
        axes.grid(alpha=0.3)
        axes.margins(0.1)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix.lstrip(".") or "png")


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, gain) points that no other beats in both, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def _times(spread: Spread) -> str:
    return f"{spread.median:.1f} ({spread.low:.1f}-{spread.high:.1f})"
