"""`featherface prune`: filters removed by geometric median; the start of a smaller network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.errors import ConfigError

if TYPE_CHECKING:
    from featherface.model.network import FeatherFace


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(prune)


def prune(
    config: Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)],
) -> None:
    """Remove whole filters of a network, by rates per part, and write what is left as a start for training."""
    from featherface.prune.config import load_config

    recipe = load_config(config)

    import featherface.model  # noqa: F401  (a missing torch is said here, in one sentence)
    from featherface.model.network import count_parameters
    from featherface.model.weights import load_weights, save_weights
    from featherface.prune.layout import pruned_layout
    from featherface.prune.surgery import doomed, removed

    model = load_weights(recipe.init)
    layout = pruned_layout(model.config, recipe.rates, recipe.name, recipe.multiple)
    smaller = removed(model, doomed(model, layout), layout)
    parameters = count_parameters(smaller)
    if recipe.max_parameters and parameters > recipe.max_parameters:
        raise ConfigError(
            f"{config}: the rates leave {parameters:,} parameters, over max_parameters = {recipe.max_parameters:,}"
        )
    _print_table(model, smaller)
    target = Path(recipe.output) / recipe.name / "pruned.safetensors"
    target.parent.mkdir(parents=True, exist_ok=True)
    save_weights(smaller, target)
    typer.echo(str(target))


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
