"""What `featherface ablate` found: rows as CSV, everything as JSON, the table on the terminal."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featherface.evaluate.compare import Spread
    from featherface.train.ablate import AblationConfig

Results = dict[tuple[str, int], dict[str, float]]
"""AP per subset of each training, by arm and seed."""


def time_arms(starts: dict[str, Path], repeats: int, recipe: AblationConfig) -> dict[str, Spread]:
    """Latency of the exported arms, one thread, in turns on the first validation picture at 640x640."""
    from featherface.cli.validation import validation_set
    from featherface.evaluate.compare import square, time_in_turns
    from featherface.evaluate.ours import our_candidate
    from featherface.export.onnx import export_onnx
    from featherface.model.weights import load_weights

    photo = square(validation_set(recipe.validation, 1).paths[0])
    runs = []
    for name, path in starts.items():
        file = path.with_suffix(".onnx")
        if not file.exists():
            export_onnx(load_weights(path), file, name)
        runs.append(our_candidate(str(file)).prepare(photo))
    return dict(zip(starts, time_in_turns(runs, repeats), strict=True))


def write_csv(target: Path, starts: dict[str, Path], done: Results) -> None:
    """A row for each training that has ended, arm by arm."""
    from featherface.atomic import write_text

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    subsets = list(next(iter(done.values())))
    table.writerow(["arm", "parameters", "seed", *subsets])
    for name, path in starts.items():
        parameters = _parameters(path)
        for (arm, seed), ap in done.items():
            if arm == name:
                table.writerow([name, parameters, seed, *(f"{ap[subset]:.4f}" for subset in subsets)])
    write_text(target, text.getvalue())


def write_json(
    target: Path, recipe: AblationConfig, starts: dict[str, Path], done: Results, times: dict[str, Spread]
) -> None:
    """The same with the latency of the arms, where their layouts differ, and the recipe."""
    from featherface.atomic import write_text

    arms = []
    for name, path in starts.items():
        ap = [{"seed": seed, **values} for (arm, seed), values in done.items() if arm == name]
        row = {"arm": name, "parameters": _parameters(path), "ap": ap}
        if times:
            ratio = times[name].median / next(iter(times.values())).median
            row |= {"latency_ms": asdict(times[name]), "latency_ratio": ratio}
        arms.append(row)
    write_text(target, json.dumps({"arms": arms, "recipe": asdict(recipe)}, indent=1) + "\n")


def print_table(
    recipe: AblationConfig, seeds: int, starts: dict[str, Path], done: Results, times: dict[str, Spread]
) -> None:
    """Mean AP and its spread; the last column holds the differences to the first arm with the same seed."""
    from rich.console import Console
    from rich.table import Table

    subsets = list(next(iter(done.values())))
    first, last = next(iter(starts)), subsets[-1]
    shown = f"{recipe.validation_images} pictures of " if recipe.validation_images else ""
    title = f"{recipe.name}: AP on {shown}{recipe.validation}, mean of {seeds} seeds (lowest to highest)"
    timed = ["ms", "ratio"] if times else []
    table = Table(
        "arm", "parameters", *timed, *map(str.title, subsets), f"{last.title()} against {first}", title=title
    )
    for name, path in starts.items():
        cells = [name, f"{_parameters(path):,}"]
        if times:
            ratio = times[name].median / times[first].median
            cells += [f"{times[name].median:.1f}", f"{ratio:.2f}"]
        rows = {seed: ap for (arm, seed), ap in done.items() if arm == name}
        gains = [ap[last] - done[first, seed][last] for seed, ap in rows.items()]
        cells += [_spread([ap[subset] for ap in rows.values()]) for subset in subsets]
        table.add_row(*cells, "" if name == first else _spread(gains, "+"))
    Console(stderr=True, width=120).print(table)


def _parameters(path: Path) -> int:
    from featherface.model.network import count_parameters
    from featherface.model.weights import load_weights

    return count_parameters(load_weights(path))


def _spread(values: Sequence[float], sign: str = "") -> str:
    mean, low, high = (100 * f(values) for f in (statistics.mean, min, max))
    return f"{mean:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"
