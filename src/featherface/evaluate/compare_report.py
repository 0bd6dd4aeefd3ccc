"""Comparisons as a table, as JSON values and as a picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from featherface.atomic import atomic_path
from featherface.errors import MissingExtraError
from featherface.evaluate.compare import Compared, Spread

HEADER = ("detector", "parameters", "M MACs", "MB", "network ms", "whole ms", "Easy", "Medium", "Hard")


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
    """AP against latency of the whole detection, a panel per subset. Up and to the left is better."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "evaluate") from error
    subsets = list(results[0].ap)
    figure = Figure(figsize=(4.2 * len(subsets), 4), layout="constrained")
    for axes, subset in zip(figure.subplots(1, len(subsets), squeeze=False)[0], subsets, strict=True):
        for r in results:
            x, y = r.whole_ms.median, 100 * r.ap[subset]
            axes.errorbar(x, y, xerr=[[x - r.whole_ms.low], [r.whole_ms.high - x]], fmt="o", capsize=2)
            axes.annotate(r.name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
        axes.set(title=subset.title(), xlabel="ms per 640x640 picture, one thread", ylabel="AP")
        axes.grid(alpha=0.3)
        axes.margins(0.15)
    figure.suptitle(title, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format=path.suffix.lstrip(".") or "png")


def _times(spread: Spread) -> str:
    return f"{spread.median:.1f} ({spread.low:.1f}-{spread.high:.1f})"
