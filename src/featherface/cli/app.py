"""Builds the command line from its modules and turns expected failures into one clear line."""

from __future__ import annotations

import importlib
import io
import sys
from typing import Annotated

import typer

from featherface import __version__
from featherface.errors import FeatherFaceError

# One module per group of commands; each has `register(app)` and imports its heavy rooms inside the command.
COMMAND_MODULES = (
    "detect",
    "models",
    "evaluate",
    "compare",
    "train",
    "dataset",
    "ablate",
    "prune",
    "export",
    "benchmark",
    "batch",
    "anonymise",
    "video",
    "serve",
    "web",
)


def build_app() -> typer.Typer:
    """The whole command-line application."""
    app = typer.Typer(
        name="featherface", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version."),
        ] = False,
    ) -> None:
        """A tiny, honest face detector: boxes, scores and five landmarks."""

    for module in COMMAND_MODULES:
        importlib.import_module(f"featherface.cli.{module}").register(app)
    return app


def main() -> None:
    """Entry point of the `featherface` script."""
    for console in (sys.stdout, sys.stderr):
        if isinstance(console, io.TextIOWrapper):
            console.reconfigure(errors="backslashreplace")  # names of files need not fit its encoding
    try:
        build_app()(standalone_mode=True)
    except FeatherFaceError as error:
        print(f"featherface: error: {error}", file=sys.stderr)
        sys.exit(1)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"featherface {__version__}")
        raise typer.Exit
