"""`featherface train` and `featherface distill`: one complete one-cycle stage from a TOML recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.errors import ConfigError

if TYPE_CHECKING:
    from featherface.train.config import TrainConfig

_Recipe = Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)]
_Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe.")
]
_Hours = Annotated[float | None, typer.Option("--hours", help="Fit one complete cycle into this time.")]
_Resume = Annotated[bool, typer.Option("--resume", help="Go on from the run's checkpoint.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(train)
    app.command()(distill)


def train(
    config: _Recipe, overrides: _Overrides = None, hours: _Hours = None, resume: _Resume = False
) -> None:
    """Train a network from labels."""
    _run(config, overrides, hours, resume, distilled=False)


def distill(
    config: _Recipe, overrides: _Overrides = None, hours: _Hours = None, resume: _Resume = False
) -> None:
    """Train a student from labels and from the recipe's teacher."""
    _run(config, overrides, hours, resume, distilled=True)


def _check_length(config: TrainConfig, overrides: list[str]) -> None:
    """ConfigError for a length that another one of the recipe overrules."""
    given = {text.partition("=")[0].strip() for text in overrides}
    for decides, overruled in (("hours", {"steps", "epochs"}), ("steps", {"epochs"})):
        value = getattr(config, decides)
        if value and given & overruled:
            raise ConfigError(
                f"--set {min(given & overruled)}: {decides} = {value} decide; add --set {decides}=0"
            )


def _run(path: Path, overrides: list[str] | None, hours: float | None, resume: bool, distilled: bool) -> None:
    from featherface.train.config import load_config

    extra = [] if hours is None else [f"hours={hours}"]
    config = load_config(path, [*(overrides or []), *extra])
    _check_length(config, overrides or [])
    if distilled and not config.distill.teacher:
        raise ConfigError(f"{path}: distill.teacher names no teacher")
    if config.distill.teacher and not distilled:
        typer.echo(f"{path}: trained without its teacher; `featherface distill` asks it", err=True)
    output = Path(config.output, config.name).absolute()
    there = next(place for place in (output, *output.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"output: {output} cannot be written")

    import featherface.model  # noqa: F401  (a missing torch is said here, in one sentence)
    from featherface.cli.validation import make_validation
    from featherface.export.onnx import export_onnx
    from featherface.train.stage import run_stage

    outcome = run_stage(
        config,
        distilled=distilled,
        resume=resume,
        export=export_onnx,
        validate=make_validation(config.validation, config.validation_images) if config.validation else None,
        report=lambda line: typer.echo(line, err=True),
    )
    if not outcome.finished:
        raise typer.Exit(130)  # or what comes next in a script would begin with half-trained weights
    typer.echo(str(outcome.weights))
