"""`featherface ablate`: what one choice after the other gains, by the same training with each of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featherface.errors import ConfigError, DataError, reason_of

if TYPE_CHECKING:
    from featherface.train.ablate import AblationConfig, Arm
    from featherface.train.config import TrainConfig


@dataclass(frozen=True)
class Training:
    """One arm with one seed: its recipe, the file it starts from and the file that its AP is written to."""

    arm: Arm
    seed: int
    recipe: TrainConfig
    start: Path
    result: Path


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ablate)


def ablate(
    config: Annotated[
        Path, typer.Argument(help="A training recipe with arms and a validation set.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each arm.")] = 2,
    repeats: Annotated[int, typer.Option(help="Timed runs of each arm.")] = 30,
) -> None:
    """Train one network several ways: attention, losses or whatever the recipe's arms say; AP with its spread.

    Without arms of the recipe's own, attention in each combination at backbone and neck is compared. Every arm starts
    from the same weights and has the same crops and budget for a seed. What is finished is not trained again: the
    command goes on where it stopped, and takes further arms and seeds.
    """
    from featherface.train.ablate import load_ablation

    recipe, recipes = load_ablation(config, overrides or [])
    if not recipe.validation:
        raise ConfigError(f"{config}: validation names no set to measure AP on")
    if seeds < 1 or repeats < 3:
        raise ConfigError(f"{seeds} seeds, {repeats} repeats: at least one seed and three repeats")

    from featherface.atomic import write_text
    from featherface.cli.ablate_table import print_table, time_arms, write_csv, write_json
    from featherface.cli.validation import make_measure

    folder = Path(recipe.output) / recipe.name
    text = _remembered(config, recipe, folder / "recipe.json")
    measure = make_measure(recipe.validation, recipe.validation_images)
    starts = _make_starts(recipe, folder)
    write_text(folder / "recipe.json", text)
    plan = _plan(recipe, recipes, seeds, starts)
    for number, training in enumerate(plan, 1):
        title = f"[{number}/{len(plan)}] {training.arm.name} seed {training.seed}"
        if not training.result.exists():
            _train(training, measure, title)
        means = ", ".join(f"{subset} {value:.4f}" for subset, value in _ap(training.result).items())
        typer.echo(f"{title}: AP {means}", err=True)
        done = {(t.arm.name, t.seed): _ap(t.result) for t in plan if t.result.exists()}
        write_csv(folder / "ablation.csv", starts, done)
    times = time_arms(starts, repeats, recipe) if _layouts_differ(recipe) else {}
    write_json(folder / "ablation.json", recipe, starts, done, times)
    print_table(recipe, seeds, starts, done, times)
    typer.echo(str(folder / "ablation.csv"))


def _remembered(config: Path, recipe: AblationConfig, kept: Path) -> str:
    """What a later call must find again; ConfigError when the folder holds the ablation of another recipe."""
    now = _by_name(recipe)
    if kept.exists():
        before = _read_kept(kept)
        same = {**now, "arms": 0} == {**before, "arms": 0}
        if not same or any(now["arms"].get(name, arm) != arm for name, arm in before["arms"].items()):
            raise ConfigError(
                f"{config}: {kept.parent} holds the ablation of another recipe; give this one a new name"
            )
        now["arms"] = {**before["arms"], **now["arms"]}
    return json.dumps(now, indent=1, sort_keys=True) + "\n"


def _by_name(recipe: AblationConfig) -> dict[str, Any]:
    """The recipe as JSON has it, its arms by name."""
    values: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    values["arms"] = {arm.pop("name"): arm for arm in values["arms"]}
    return values


def _read_kept(kept: Path) -> dict[str, Any]:
    """The recipe that a folder remembers, with the keys that its version did not know yet."""
    from featherface.recipe import completed
    from featherface.train.ablate import AblationConfig, Arm

    try:
        before = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{kept}: cannot be read ({reason_of(error)})") from error
    if not isinstance(before, dict) or not isinstance(before.get("arms"), dict):
        raise ConfigError(f"{kept}: not the recipe of an ablation")
    arm = _by_name(AblationConfig(arms=(Arm("arm"),)))["arms"]["arm"]
    arms = {name: completed(kept_arm, arm) for name, kept_arm in before["arms"].items()}
    return completed({**before, "arms": arms}, {**_by_name(AblationConfig()), "arms": {}})


def _layouts_differ(recipe: AblationConfig) -> bool:
    return len({(arm.backbone, arm.neck) for arm in recipe.arms}) > 1


def _plan(
    recipe: AblationConfig, recipes: list[TrainConfig], seeds: int, starts: dict[str, Path]
) -> list[Training]:
    """All arms of the first seed, then all of the next."""
    from featherface.train.ablate import arm_recipe

    plan = []
    for seed in range(seeds):
        for arm, own in zip(recipe.arms, recipes, strict=True):
            planned = arm_recipe(own, arm, seed, str(starts[arm.name]))
            result = Path(planned.output) / planned.name / "ap.json"
            plan.append(Training(arm, seed, planned, starts[arm.name], result))
    return plan


def _make_starts(recipe: AblationConfig, folder: Path) -> dict[str, Path]:
    """A weights file for every arm by name."""
    import featherface.model  # noqa: F401  (a missing torch is said here, in one sentence)
    from featherface.model.weights import save_weights
    from featherface.train.ablate import arm_start, without_attention
    from featherface.train.data import CropDataset
    from featherface.train.stage import normalised_crops
    from featherface.train.start import starting_point

    if recipe.threads:
        import torch

        torch.set_num_threads(recipe.threads)
    starts = {arm.name: folder / f"{arm.name}.safetensors" for arm in recipe.arms}
    # Without the recipe beside them nobody knows what the starts were made from: a call that was cut short left them.
    known = (folder / "recipe.json").exists()
    missing = [arm for arm in recipe.arms if not (known and starts[arm.name].exists())]
    if missing:
        pictures = cache(lambda: normalised_crops(CropDataset.of(recipe.data, recipe.seed)))
        base = starting_point(recipe.init, recipe.model, pictures, recipe.layout)
        if recipe.start == "same_function":
            base = without_attention(base, pictures())
        for arm in missing:
            save_weights(arm_start(base, arm, recipe.start), starts[arm.name])
    return starts


def _train(training: Training, measure: Callable[[Any], dict[str, float]], title: str) -> None:
    """One training, from its last checkpoint where it has one, and its AP per subset as `training.result`."""
    from featherface.atomic import write_text
    from featherface.cli.validation import TorchSession
    from featherface.export.onnx import export_onnx
    from featherface.model.weights import load_weights
    from featherface.train.checkpoint import CHECKPOINT
    from featherface.train.stage import run_stage

    outcome = run_stage(
        training.recipe,
        distilled=bool(training.recipe.distill.teacher),
        resume=(training.result.parent / CHECKPOINT).exists(),
        export=export_onnx,
        validate=None,
        report=lambda line: typer.echo(f"{title}: {line}", err=True),
    )
    if not outcome.finished:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(1)
    ap = measure(TorchSession(load_weights(outcome.weights)))
    write_text(training.result, json.dumps(ap) + "\n")


def _ap(result: Path) -> dict[str, float]:
    try:
        found = json.loads(result.read_text(encoding="utf-8"))
        return {subset: float(value) for subset, value in found.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise DataError(f"{result}: not the result of a training; remove it ({error})") from error
