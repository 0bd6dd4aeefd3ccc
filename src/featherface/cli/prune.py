"""`featherface prune`: filters removed by geometric median, softly first; rates searched for."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.cli.targets import check_targets, writing
from featherface.errors import ConfigError

if TYPE_CHECKING:
    from featherface.model.config import ModelConfig
    from featherface.model.network import FeatherFace
    from featherface.prune.config import PruneConfig
    from featherface.train.config import TrainConfig


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(prune)


def prune(
    config: Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with soft pruning that stopped.")] = False,
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="All that a recipe can ask for in its smallest form; keeps nothing."),
    ] = False,
) -> None:
    """Remove whole filters of a network, by rates per part, and write what is left as a start for training.

    A recipe with [search] looks for rates instead and stops at its Pareto front; started again, it goes on. One with
    [soft] trains with soft pruning before the removal, one with [refit] fits what is left to what was there.
    """
    from featherface.prune.config import load_config

    recipe = load_config(config)
    if resume and not recipe.soft.steps:
        raise ConfigError(f"{config}: --resume goes on with soft pruning, and it has no [soft]")
    if not smoke:
        _check_output(recipe)

    import featherface.model  # noqa: F401  (a missing torch is said here, in one sentence)
    from featherface.model.weights import load_any
    from featherface.train.config import load_config as load_training

    training = load_training(recipe.train) if recipe.train else None
    model = load_any(recipe.init)
    if smoke:
        _smoke(recipe, training, model)
    elif recipe.search.trials and training:
        from featherface.cli.prune_search import search

        search(recipe, training, model)
    else:
        typer.echo(str(_prune(recipe, training, model, resume)))


def _check_output(recipe: PruneConfig) -> None:
    """ConfigError, before the work, where nothing could be written after it."""
    folder = Path(recipe.output) / recipe.name
    searched = ("search.log", "trials.csv", "pareto.png", "chosen.toml")
    results = searched if recipe.search.trials else ("pruned.safetensors",)
    with writing(folder):
        check_targets(*(folder / name for name in results), folders=(folder,))
        above = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
        # Tried, because rights do not tell everything: root has them in /proc, too.
        tempfile.TemporaryDirectory(dir=above).cleanup()


def _prune(recipe: PruneConfig, training: TrainConfig | None, model: FeatherFace, resume: bool) -> Path:
    """Soft pruning where the recipe asks for it, then the removal; the weights file."""
    from featherface.model.network import build, count_parameters
    from featherface.model.weights import save_weights
    from featherface.prune.layout import pruned_layout
    from featherface.prune.surgery import doomed, removed

    if not any(vars(recipe.rates).values()):
        raise ConfigError(f"{recipe.name}: rates are all 0, nothing to prune")
    layout = pruned_layout(model.config, recipe.rates, recipe.name, recipe.multiple)
    gone = doomed(model, layout)  # another kind of network is refused before anything else is said of it
    parameters = count_parameters(build(layout))
    if recipe.max_parameters and parameters > recipe.max_parameters:
        raise ConfigError(
            f"{recipe.name}: the rates leave {parameters:,} parameters, "
            f"over max_parameters = {recipe.max_parameters:,}"
        )
    if recipe.soft.steps and training:
        model, gone = _softly(recipe, training, layout, resume)
    smaller = removed(model, gone, layout)
    if recipe.refit.pictures and training:
        from featherface.cli.prune_search import refit_crops
        from featherface.prune.refit import refit
        from featherface.train.data import load_pictures

        smaller = refit(model, smaller, gone, refit_crops(recipe, training, load_pictures(training.data)))
    _print_table(model, smaller)
    target = Path(recipe.output) / recipe.name / "pruned.safetensors"
    with writing(target):
        save_weights(smaller, target)
    return target


def _softly(
    recipe: PruneConfig, training: TrainConfig, layout: ModelConfig, resume: bool
) -> tuple[FeatherFace, dict[str, list[int]]]:
    """The moving average of the network trained, and the filters that the last step zeroed in the network itself."""
    from featherface.export.onnx import export_onnx
    from featherface.model.weights import load_weights
    from featherface.prune.soft import SoftPruning, SoftRecord
    from featherface.prune.surgery import doomed
    from featherface.train.checkpoint import CHECKPOINT
    from featherface.train.stage import run_stage

    folder = Path(recipe.output) / recipe.name
    record = SoftRecord(folder / "soft.json", recipe)
    if not (folder / CHECKPOINT).exists():
        record.forget()
    elif resume:
        record.check()
    stage = dataclasses.replace(
        training,
        name=recipe.name,
        output=recipe.output,
        model="init",
        init=recipe.init,
        hours=0.0,
        steps=recipe.soft.steps,
    )
    outcome = run_stage(
        stage,
        distilled=bool(stage.distill.teacher),
        resume=resume,
        export=export_onnx,
        validate=None,
        report=lambda line: typer.echo(line, err=True),
        after_step=SoftPruning(layout, recipe.soft.every, recipe.soft.steps, record.keep),
    )
    if not outcome.finished:
        raise typer.Exit(130)
    average = load_weights(outcome.weights)
    return average, record.chosen() or doomed(average, layout)  # an older version's run has no record


def _smoke(recipe: PruneConfig, training: TrainConfig | None, model: FeatherFace) -> None:
    """Search, soft pruning, removal, refit and training with the recipe's data and networks, but for seconds."""
    from featherface.cli.prune_search import search
    from featherface.model.weights import load_weights
    from featherface.prune.config import RefitConfig, SoftConfig, some_search
    from featherface.train.brief import brief_training

    with tempfile.TemporaryDirectory() as folder:
        if training is None:
            _prune(dataclasses.replace(recipe, output=folder), None, model, resume=False)
            left_out = "search, soft pruning, refit and training need a recipe that names one in train"
            typer.echo(f"smoke: only the removal ran; {left_out}")
        else:
            tiny = dataclasses.replace(
                recipe.search if recipe.search.trials else some_search(recipe.rates),
                trials=2,
                holdout=4,
                steps=2,
                batch_size=2,
                crop_size=128,
                input_size=128,
                repeats=3,
            )
            recipe = dataclasses.replace(
                recipe,
                output=folder,
                search=tiny,
                soft=SoftConfig(steps=4, every=2),
                refit=RefitConfig(pictures=1, crop_size=128),
            )
            data = dataclasses.replace(training.data, crop_size=128, cache_gb=0.0, workers=0)
            training = dataclasses.replace(training, data=data, batch_size=2, precision="fp32")
            bench = search(recipe, training, model)
            smaller = load_weights(_prune(recipe, training, model, resume=False))
            brief_training(bench.training, smaller, bench.crops, bench.teacher)
            typer.echo("smoke: everything ran (search, soft pruning, removal, refit, training)")


def _print_table(before: FeatherFace, after: FeatherFace) -> None:
    from rich.console import Console
    from rich.table import Table

    from featherface.model.summary import summarise

    table = Table(
        "part", "parameters", "left", "multiply-adds", "left", title=f"{after.config.name} at 640x640"
    )
    for old, new in zip(summarise(before), summarise(after), strict=True):
        cells = (old.parameters, new.parameters, old.multiply_adds, new.multiply_adds)
        table.add_row(old.title, *(f"{cell:,}" for cell in cells))
    Console(stderr=True).print(table)
