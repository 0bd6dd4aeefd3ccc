"""A benchmark's results as a table, as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from featherface.benchmark.run import Measured, Spread, machine
from featherface.errors import MissingExtraError
from featherface.runtimes.card import sha256


def table(results: Sequence[Measured]) -> str:
    """Plain text, a row a subject; the ratio is to the first row of the same size and threads."""
    lines = [
        f"{'model':30}{'size':>9}{'threads':>8}{'network ms':>22}{'ratio':>7}{'end to end ms':>22}"
        f"{'cold s':>8}{'peak MB':>9}{'file MB':>9}"
    ]
    base: dict[tuple[str, int], float] = {}
    failed: dict[tuple[str, int], str] = {}
    notes = []
    for result in results:
        subject = result.subject
        lead = f"{subject.title:30}{subject.size:>9}{subject.threads:>8}"
        if result.error is not None or result.network_ms is None:
            lines.append(f"{lead}  {result.error}")
            if (subject.size, subject.threads) not in base:
                failed.setdefault((subject.size, subject.threads), subject.title)
            continue
        if (subject.size, subject.threads) not in base and (subject.size, subject.threads) in failed:
            notes.append(
                f"{subject.size}, {subject.threads} threads: {failed[subject.size, subject.threads]} failed, so ratios "
                f"are to {subject.title}"
            )
        first = base.setdefault((subject.size, subject.threads), result.network_ms.median)
        lines.append(
            f"{lead}{_text(result.network_ms):>22}{result.network_ms.median / first:7.2f}"
            f"{_text(result.whole_ms):>22}{result.cold_start_s:8.2f}{result.peak_mb:9.0f}{result.file_mb:9.2f}"
            + (f"  {result.note}" if result.note else "")
        )
    return "\n".join([*lines, *notes])


def to_json(
    results: Sequence[Measured], versions: Mapping[str, str], photo: Path, repeats: int, warm_up: int
) -> dict[str, Any]:
    """Machine, versions of the packages that may have made or run the files, what was run how often, results."""
    rows = []
    for result in results:
        row = asdict(result)
        row["subject"]["file"] = result.subject.file.name
        rows.append(row)
    return {
        "machine": machine(),
        "versions": dict(versions),
        "photo": {"file": photo.name, "sha256": sha256(photo)},
        "repeats": repeats,
        "warm_up": warm_up,
        "results": rows,
    }


def require_matplotlib() -> None:
    """MissingExtraError when there is nothing to draw with."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("matplotlib", "benchmark") from error


def draw(results: Sequence[Measured], target: Path) -> None:
    """Bars of the median network and end-to-end times with their quartiles, a row a size, a column a thread count."""
    require_matplotlib()
    from matplotlib.figure import Figure

    from featherface.atomic import atomic_path

    good = [r for r in results if r.network_ms is not None]
    counts = sorted({r.subject.threads for r in good})
    sizes = list(dict.fromkeys(r.subject.size for r in good))
    if not good:
        return
    most = max(sum(r.subject.size == size for r in good) for size in sizes) / len(counts)
    panels = [(threads, size) for size in sizes for threads in counts]
    figure = Figure(figsize=(4 + 3.5 * len(counts), len(sizes) * (0.9 + 0.24 * most)), layout="constrained")
    grid = figure.subplots(len(sizes), len(counts), squeeze=False)
    for axis, (threads, size) in zip(grid.flat, panels, strict=True):
        rows = [r for r in good if (r.subject.threads, r.subject.size) == (threads, size)][::-1]
        for shift, colour, name in ((0.2, "#2b6cb0", "network_ms"), (-0.2, "#a0aec0", "whole_ms")):
            spreads = [getattr(r, name) for r in rows]
            there = [(y, s) for y, s in enumerate(spreads) if s is not None]
            errors = [[s.median - s.low for _, s in there], [s.high - s.median for _, s in there]]
            label = "network" if name == "network_ms" else "picture to faces"
            axis.barh(
                [y + shift for y, _ in there], [s.median for _, s in there], 0.38,
                xerr=errors, color=colour, label=label,
            )  # fmt: skip
        axis.set_yticks(range(len(rows)), [r.subject.title for r in rows])
        axis.set_title(f"{size}, {threads} thread{'s' if threads > 1 else ''}", loc="left", fontsize=10)
        axis.set_xlabel("ms, median and quartiles")
    grid.flat[0].legend(frameon=False)
    figure.suptitle(machine()["cpu"], fontsize=9)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=120)


def _text(times: Spread | None) -> str:
    return "-" if times is None else f"{times.median:.1f} ({times.low:.1f}-{times.high:.1f})"
