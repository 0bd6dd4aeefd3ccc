"""Comparisons as a table, as JSON values and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from rich.console import Console
from rich.table import Table

from featherface.atomic import atomic_path
from featherface.errors import ConfigError, MissingExtraError
from featherface.evaluate.compare import Compared, Spread
from featherface.evaluate.wider import percent

HEADER = ("detector", "parameters", "M MACs", "MB", "network ms", "whole ms", "Easy", "Medium", "Hard")
_WIDEST = 1000
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
            *map(percent, r.ap.values()),
        )
        for r in results
    ]


def to_json(results: Sequence[Compared], facts: dict[str, object]) -> dict[str, object]:
    """Plain values; AP as fractions (None where no face counts), latency in milliseconds."""
    detectors = [
        dataclasses.asdict(r) | {"ap": {s: None if isnan(v) else v for s, v in r.ap.items()}} for r in results
    ]
    return {**facts, "detectors": detectors}


def print_table(results: Sequence[Compared], title: str) -> None:
    """Print the table whole: a pipe, or a terminal that is narrower, cuts no figure off."""
    table = Table(*HEADER, title=title)
    for row in table_rows(results):
        table.add_row(*row)
    _print_whole(table)
    if results[1:]:
        _print_whole(_against(results))


def _against(results: Sequence[Compared]) -> Table:
    """AP less the first detector's, with the interval that pictures drawn anew give."""
    first, *others = results
    table = Table("detector", *(subset.title() for subset in first.ap), title=f"AP less that of {first.name}")
    table.caption = "in brackets: the middle 95% when the pictures are drawn anew"
    for r in others:
        found = (r.against_first.get(subset) for subset in first.ap)
        table.add_row(r.name, *("-" if difference is None else str(difference) for difference in found))
    return table


def _print_whole(table: Table) -> None:
    console = Console()
    wide = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    Console(width=max(console.width, wide)).print(table)


def check_picture(path: Path | None) -> None:
    """Before the work: MissingExtraError without matplotlib, ConfigError for an ending that it cannot write."""
    if path is None:
        return
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise MissingExtraError("matplotlib", "evaluate") from error
    endings = FigureCanvasBase.get_supported_filetypes()
    if path.suffix and path.suffix.lower().lstrip(".") not in endings:
        raise ConfigError(f"{path}: pictures are written as {', '.join(sorted(endings))}")


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
        front = pareto([(r.whole_ms.median, r.ap[subset]) for r in results if not isnan(r.ap[subset])])
        axes.plot([x for x, _ in front], [100 * y for _, y in front], "--", color="grey", lw=0.8, zorder=0)
        axes.set(title=subset.title(), xlabel="ms per 640x640 picture, one thread", ylabel="AP")
        axes.grid(alpha=0.3)
        axes.margins(0.1)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix.lower().lstrip(".") or "png")


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, gain) points that no other beats in both, by rising cost."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def _times(spread: Spread) -> str:
    return f"{spread.median:.1f} ({spread.low:.1f}-{spread.high:.1f})"
