"""`featherface ablate`: what attention gains, by the same training with and without it."""

from __future__ import annotations

import csv
import io
import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featherface.errors import ConfigError, DataError

if TYPE_CHECKING:
    from featherface.train.ablate import Arm
    from featherface.train.config import TrainConfig


@dataclass(frozen=True)
class Row:
    """One arm: its size, its median time with quartiles and as a ratio to the first arm's, AP."""

    arm: str
    parameters: int
    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float
    latency_ratio: float
    ap: dict[str, list[float]]
    """Of every seed, per subset of the validation set."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ablate)


def ablate(
    config: Annotated[
        Path, typer.Argument(help="A training recipe with a validation set.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each arm.")] = 2,
    repeats: Annotated[int, typer.Option(help="Timed runs of each arm.")] = 30,
) -> None:
    """Train the recipe's network with each attention at backbone and neck: parameters, latency and AP as a table.

    Every arm starts from the same weights with fresh attention and has the same crops and budget. What is
    finished is not trained again: the command goes on where it stopped.
    """
    from featherface.train.config import load_config

    recipe = load_config(config, overrides or [])
    if not recipe.validation:
        raise ConfigError(f"{config}: validation names no set to measure AP on")
    if seeds < 1 or repeats < 3:
        raise ConfigError(f"{seeds} seeds, {repeats} repeats: at least one seed and three repeats")

    from featherface.atomic import write_text
    from featherface.cli.validation import make_measure
    from featherface.train.config import to_dict

    folder = Path(recipe.output) / recipe.name
    kept, text = folder / "recipe.json", json.dumps(to_dict(recipe), indent=1, sort_keys=True) + "\n"
    if kept.exists() and kept.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{config}: {folder} holds the ablation of another recipe; give this one a new name"
        )
    measure = make_measure(recipe.validation, recipe.validation_images)
    starts = _make_starts(recipe, folder)
    write_text(kept, text)
    ap: dict[str, dict[str, list[float]]] = {arm.name: {} for arm in starts}
    plan = [(seed, arm) for seed in range(seeds) for arm in starts]
    for number, (seed, arm) in enumerate(plan, 1):
        title = f"[{number}/{len(plan)}] {arm.name} seed {seed}"
        for subset, value in _trained(recipe, arm, seed, starts[arm], measure, title).items():
            ap[arm.name].setdefault(subset, []).append(value)
        means = ", ".join(f"{subset} {values[-1]:.4f}" for subset, values in ap[arm.name].items())
        typer.echo(f"{title}: AP {means}", err=True)
    rows = _rows(starts, ap, repeats, recipe)
    _write(rows, recipe, folder)
    _print(rows, recipe, seeds)
    typer.echo(str(folder / "ablation.csv"))


def _make_starts(recipe: TrainConfig, folder: Path) -> dict[Arm, Path]:
    """A weights file for every arm."""
    import featherface.model  # noqa: F401  (a missing torch is said here, in one sentence)
    from featherface.model.weights import save_weights
    from featherface.train.ablate import ARMS, arm_start
    from featherface.train.start import starting_point

    def no_pictures() -> Any:
        raise ConfigError(f"init = {recipe.init!r}: an ablation starts from weights of the same layout")

    starts = {arm: folder / f"{arm.name}.safetensors" for arm in ARMS}
    if not all(path.exists() for path in starts.values()):
        base = starting_point(recipe.init, recipe.model, no_pictures)
        for arm, path in starts.items():
            save_weights(arm_start(base, arm), path)
    return starts


def _trained(
    recipe: TrainConfig,
    arm: Arm,
    seed: int,
    start: Path,
    measure: Callable[[Any], dict[str, float]],
    title: str,
) -> dict[str, float]:
    """AP per subset of one training, which is made when there is no result of it yet."""
    from featherface.atomic import write_text
    from featherface.cli.validation import TorchSession
    from featherface.export.onnx import export_onnx
    from featherface.model.weights import load_weights
    from featherface.train.ablate import arm_recipe
    from featherface.train.stage import run_stage

    config = arm_recipe(recipe, arm, seed, str(start))
    folder = Path(config.output) / config.name
    result = folder / "ap.json"
    if not result.exists():
        outcome = run_stage(
            config,
            distilled=bool(config.distill.teacher),
            resume=(folder / "checkpoint.pt").exists(),
            export=export_onnx,
            validate=None,
            report=lambda line: typer.echo(f"{title}: {line}", err=True),
        )
        if not outcome.finished:
            typer.echo("stopped; the same command goes on from here", err=True)
            raise typer.Exit(1)
        write_text(result, json.dumps(measure(TorchSession(load_weights(outcome.weights)))) + "\n")
    try:
        found = json.loads(result.read_text(encoding="utf-8"))
        return {subset: float(value) for subset, value in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{result}: not the result of a training; remove it ({error})") from error


def _rows(
    starts: dict[Arm, Path], ap: dict[str, dict[str, list[float]]], repeats: int, recipe: TrainConfig
) -> list[Row]:
    """Latency of the exported arms, one thread, in turns on the first validation picture at 640x640."""
    from featherface.cli.validation import validation_set
    from featherface.evaluate.compare import square, time_in_turns
    from featherface.evaluate.ours import our_candidate
    from featherface.export.onnx import export_onnx
    from featherface.model.network import count_parameters
    from featherface.model.weights import load_weights

    networks = {arm.name: load_weights(path) for arm, path in starts.items()}
    photo = square(validation_set(recipe.validation, 1).paths[0])
    runs = []
    for arm, path in starts.items():
        file = path.with_suffix(".onnx")
        if not file.exists():
            export_onnx(networks[arm.name], file, arm.name)
        runs.append(our_candidate(str(file)).prepare(photo))
    times = time_in_turns(runs, repeats)
    return [
        Row(name, count_parameters(net), t.median, t.low, t.high, t.median / times[0].median, ap[name])
        for (name, net), t in zip(networks.items(), times, strict=True)
    ]


def _write(rows: list[Row], recipe: TrainConfig, folder: Path) -> None:
    """`ablation.csv`, a row for each training, and `ablation.json`, with the recipe."""
    from featherface.atomic import write_text
    from featherface.train.config import to_dict

    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["arm", "parameters", "latency_ms", "latency_ratio", "seed", *rows[0].ap])
    for row in rows:
        for seed, values in enumerate(zip(*row.ap.values(), strict=True)):
            known = (row.arm, row.parameters, f"{row.latency_ms:.2f}", f"{row.latency_ratio:.3f}", seed)
            table.writerow([*known, *(f"{value:.4f}" for value in values)])
    write_text(folder / "ablation.csv", text.getvalue())
    content = {"arms": [asdict(row) for row in rows], "recipe": to_dict(recipe)}
    write_text(folder / "ablation.json", json.dumps(content, indent=1) + "\n")


def _print(rows: list[Row], recipe: TrainConfig, seeds: int) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = f"{recipe.validation_images} pictures of " if recipe.validation_images else ""
    title = f"{recipe.name}: AP on {shown}{recipe.validation}, mean of {seeds} seeds (lowest to highest)"
    table = Table("backbone-neck", "parameters", "ms", "ratio", *map(str.title, rows[0].ap), title=title)
    for row in rows:
        cells = (f"{row.parameters:,}", f"{row.latency_ms:.1f}", f"{row.latency_ratio:.2f}")
        table.add_row(row.arm, *cells, *(_spread(row.ap[subset]) for subset in row.ap))
    Console(stderr=True, width=120).print(table)


def _spread(values: list[float]) -> str:
    return f"{100 * statistics.mean(values):.1f} ({100 * min(values):.1f}-{100 * max(values):.1f})"
