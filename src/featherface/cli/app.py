"""Builds the command line from its modules and turns expected failures into one clear line."""

from __future__ import annotations

import importlib
import sys

import typer

from featherface.errors import FeatherFaceError

# One module per group of commands; each has `register(app)` and imports its heavy rooms inside the command.
COMMAND_MODULES: tuple[str, ...] = ()  # filled as commands land


def build_app() -> typer.Typer:
    """The whole command-line application."""
    app = typer.Typer(
        name="featherface", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    for module in COMMAND_MODULES:
        importlib.import_module(f"featherface.cli.{module}").register(app)
    return app


def main() -> None:
    """Entry point of the `featherface` script."""
    try:
        build_app()(standalone_mode=True)
    except FeatherFaceError as error:
        print(f"featherface: error: {error}", file=sys.stderr)
        sys.exit(1)
