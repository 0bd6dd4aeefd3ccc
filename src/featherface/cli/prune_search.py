"""Wires the search over pruning rates to training, evaluation and export, which must not know each other."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from featherface.cli.targets import writing
from featherface.errors import ConfigError
from featherface.lock import held
from featherface.runtime import OnnxSession

if TYPE_CHECKING:
    from torch import Tensor

    from featherface.evaluate.run import EvaluationSet
    from featherface.model.network import FeatherFace
    from featherface.prune.config import PruneConfig
    from featherface.prune.layout import Rates
    from featherface.prune.search import Measured, Search, Trial
    from featherface.train.config import TrainConfig
    from featherface.train.data import CropDataset, Picture
    from featherface.train.distill import Teacher


def search(recipe: PruneConfig, training: TrainConfig, model: FeatherFace) -> Bench:
    """Go on with the recipe's search until it has its trials; table, picture and chosen rates after each stop.

    DataError when another search is at work in the same folder: each would take the other's trial for a failed one.
    """
    with held(Path(recipe.output) / recipe.name):
        return _search(recipe, training, model)


def _search(recipe: PruneConfig, training: TrainConfig, model: FeatherFace) -> Bench:
    from featherface.prune.front import load_pyplot, write_table
    from featherface.prune.identity import search_identity
    from featherface.prune.search import Search, load_optuna
    from featherface.train.config import to_dict

    load_optuna()
    load_pyplot()  # at the end only, but what is missing is told now, not hours later
    bench = make_bench(recipe, training, model)
    file = Path(recipe.output) / recipe.name / "search.log"
    studied = Search(file, recipe.search, search_identity(recipe, to_dict(training)), recipe.rates)
    left = recipe.search.trials - len(studied.trials())
    typer.echo(f"{file}: {len(studied.trials())} trials there, {max(left, 0)} to go", err=True)
    start, done = time.monotonic(), 0

    def report(trial: Trial | str) -> None:
        nonlocal done
        if isinstance(trial, str):
            typer.echo(trial, err=True)
            return
        done += 1
        minutes = (time.monotonic() - start) / done * (left - done) / 60
        with writing(file.parent):
            write_table(studied.trials(), original, file.parent / "trials.csv")
        typer.echo(f"trial {trial.number} ({left - done} to go, {minutes:.0f} min): {_line(trial)}", err=True)

    try:
        original = studied.original(bench.original)
        typer.echo(f"original: AP {original.ap:.4f}, {original.parameters:,} parameters", err=True)
        studied.run(bench.measure, report)
    except KeyboardInterrupt:
        typer.echo(f"stopped after {len(studied.trials())} trials; the same command goes on", err=True)
        raise typer.Exit(130) from None
    finally:
        with writing(file.parent):
            write_results(recipe, studied, file.parent)
    typer.echo(str(file.parent / "trials.csv"))
    return bench


def write_results(recipe: PruneConfig, studied: Search, folder: Path) -> None:
    """trials.csv, pareto.png and, where a trial is within the limits, chosen.toml to prune by."""
    from featherface.atomic import write_text
    from featherface.prune.config import SearchConfig, to_toml
    from featherface.prune.front import draw, write_table
    from featherface.prune.search import Measured, choose

    trials = studied.trials()
    if not trials:
        return
    original = Measured(**studied.study.user_attrs["original"])
    write_table(trials, original, folder / "trials.csv")
    draw(trials, original, f"{recipe.name}: {len(trials)} layouts, {recipe.search.steps} steps each",
         folder / "pareto.png")  # fmt: skip
    chosen = choose(trials, recipe.max_parameters, recipe.search.max_latency)
    if chosen is None:
        typer.echo("no trial is within max_parameters and max_latency", err=True)
        return
    # All but the search: without [refit] and what it needs, pruning would not give what was measured.
    found = dataclasses.replace(recipe, rates=chosen.rates, search=SearchConfig())
    write_text(folder / "chosen.toml", f"# Trial {chosen.number}: {_line(chosen)}.\n{to_toml(found)}")
    typer.echo(f"chosen: trial {chosen.number}, {_line(chosen)}", err=True)


@dataclass
class Bench:
    """Prunes, recovers, exports and measures one layout after the other, beside the original."""

    recipe: PruneConfig
    model: FeatherFace
    session: OnnxSession
    training: TrainConfig
    crops: CropDataset
    teacher: Teacher | None
    pictures: EvaluationSet
    inputs: list[Tensor]
    """Crops that pruned networks are fitted on, none of them of the held-out pictures."""

    def original(self) -> Measured:
        """The network before pruning, as it is: it gets no recovery."""
        from featherface.model.network import count_parameters
        from featherface.prune.search import Measured

        return Measured(self._ap(self.session), 1.0, count_parameters(self.model))

    def measure(self, rates: Rates) -> Measured:
        """AP on the held-out pictures, time beside the original's in one process, parameters."""
        from featherface.model.network import count_parameters
        from featherface.prune.latency import latency_ratio
        from featherface.prune.layout import pruned_layout
        from featherface.prune.refit import refit
        from featherface.prune.search import Measured
        from featherface.prune.surgery import doomed, removed
        from featherface.train.brief import brief_training

        layout = pruned_layout(self.model.config, rates, self.recipe.name, self.recipe.multiple)
        gone = doomed(self.model, layout)
        smaller = removed(self.model, gone, layout)
        if self.inputs:
            smaller = refit(self.model, smaller, gone, self.inputs)
        recovered = brief_training(self.training, smaller, self.crops, self.teacher)
        session = _session(recovered)
        side, repeats = self.recipe.search.input_size, self.recipe.search.repeats
        ratio = latency_ratio(session, self.session, side, repeats)
        return Measured(self._ap(session), ratio, count_parameters(smaller))

    def _ap(self, session: OnnxSession) -> float:
        from featherface.evaluate.protocol import protocol
        from featherface.evaluate.run import detect_set, to_predictions
        from featherface.evaluate.wider import evaluate

        found = detect_set(session, self.pictures.paths, protocol(self.recipe.search.protocol))
        truths = self.pictures.truths
        rows = to_predictions(found, truths)
        return float(evaluate(rows, truths).ap["all"])


def make_bench(recipe: PruneConfig, training: TrainConfig, model: FeatherFace) -> Bench:
    """Everything that trials need; what is wrong with the recipe is said here, before the first one."""
    from featherface.evaluate.labelled import load_labelled
    from featherface.evaluate.protocol import protocol
    from featherface.evaluate.run import every_nth
    from featherface.export.onnx import export_onnx
    from featherface.prune.layout import pruned_layout
    from featherface.prune.surgery import doomed
    from featherface.train.data import CropDataset, load_negatives, load_pictures
    from featherface.train.teacher import make_teacher

    wanted = recipe.search
    protocol(wanted.protocol)
    most = dataclasses.replace(recipe.rates, **dict.fromkeys(wanted.parts, wanted.highest))
    doomed(model, pruned_layout(model.config, most, recipe.name, recipe.multiple))
    pictures = load_pictures(training.data)
    source = training.data.sources[0]
    held_out = every_nth(load_labelled(source.labels, source.format), wanted.holdout)
    kept = {path.resolve() for path in held_out.paths}
    rest = [p for p in pictures if p.path.resolve() not in kept]
    if not rest:
        raise ConfigError(
            f"search.holdout = {wanted.holdout}: leaves none of {len(pictures)} pictures to train on"
        )
    data = dataclasses.replace(training.data, crop_size=wanted.crop_size)
    brief = dataclasses.replace(
        training,
        data=data,
        hours=0.0,
        steps=wanted.steps,
        batch_size=wanted.batch_size,
        max_lr=wanted.max_lr,
        warmup=wanted.warmup,
    )
    return Bench(
        recipe,
        model,
        _session(model),
        brief,
        CropDataset(rest, load_negatives(data), data, training.seed),
        make_teacher(training.distill, export_onnx, 1) if training.distill.teacher else None,
        held_out,
        refit_crops(recipe, training, rest),
    )


def refit_crops(recipe: PruneConfig, training: TrainConfig, pictures: list[Picture]) -> list[Tensor]:
    """Crops of these pictures that a pruned network is fitted on; none when the recipe wants no refit."""
    from featherface.train.data import CropDataset
    from featherface.train.stage import normalised_crops

    data = dataclasses.replace(training.data, crop_size=recipe.refit.crop_size)
    return normalised_crops(CropDataset(pictures, [], data, training.seed), recipe.refit.pictures)


def _session(model: FeatherFace) -> OnnxSession:
    from featherface.export.onnx import export_onnx

    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, Path(folder) / "network.onnx")
        return OnnxSession(Path(folder) / "network.onnx", threads=1)


def _line(trial: Trial) -> str:
    m = trial.measured
    return f"AP {m.ap:.4f}, {m.latency:.2f} of the time, {m.parameters:,} parameters"
