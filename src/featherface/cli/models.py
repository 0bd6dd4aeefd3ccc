"""`featherface models`, `summary` and `attention`: what the networks are and where they look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featherface.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(models)
    app.command()(summary)
    app.command()(attention)


def models() -> None:
    """The models that ship inside the package: size, measured AP, data, licence."""
    from featherface.zoo import list_models

    for card in list_models():
        size = card.onnx.stat().st_size
        typer.echo(f"{card.name}: {card.title}")
        typer.echo(f"  {card.parameters:,} parameters, {size / 1e6:.2f} MB, {card.licence}")
        typer.echo(f"  started from: {card.init}")
        typer.echo(f"  trained on: {card.data}")
        for protocol, ap in card.ap.items():
            values = ", ".join(f"{k} {100 * ap[k]:.1f}" for k in ("easy", "medium", "hard"))
            typer.echo(f"  AP, {ap['image_set']}, protocol {protocol}: {values}")
        typer.echo(f"  {card.notes}")


def summary(
    model: Annotated[str, typer.Argument(help="A preset, or a .safetensors or published .pth file.")],
    size: Annotated[int, typer.Option(help="Side of the square input that is counted.")] = 640,
    diagram: Annotated[Path | None, typer.Option(help="Draw the pipeline: FILE.svg or FILE.png.")] = None,
) -> None:
    """Parameters and multiply-adds of a network, part by part."""
    if size < 32 or size % 32:
        raise ConfigError(f"--size {size}: must be a multiple of 32, at least 32")
    from featherface.model import build, preset
    from featherface.model.summary import summarise
    from featherface.model.weights import load_any

    network = load_any(model) if Path(model).suffix else build(preset(model))
    parts = summarise(network, size, size)
    typer.echo(f"{network.config.name} at {size}x{size}")
    typer.echo(f"{'part':34}{'parameters':>12}{'multiply-adds':>17}")
    for part in parts:
        typer.echo(f"{part.title:34}{part.parameters:12,}{part.multiply_adds:17,}")
    totals = sum(p.parameters for p in parts), sum(p.multiply_adds for p in parts)
    typer.echo(f"{'total':34}{totals[0]:12,}{totals[1]:17,}")
    if diagram is not None:
        _draw(diagram, network.config.name, parts, size)


def attention(
    photo: Annotated[Path, typer.Argument(help="The photo.")],
    save: Annotated[Path, typer.Option(help="Where the picture goes: FILE.png or FILE.jpg.")],
    model: Annotated[str, typer.Option(help="A shipped model or a .safetensors file.")] = "v2",
) -> None:
    """Coordinate Attention's horizontal and vertical maps laid over a photo, per level."""
    from featherface.atomic import write_bytes
    from featherface.images import encode_image, read_image
    from featherface.model.attention_maps import coordinate_gates, draw_gates
    from featherface.model.weights import load_weights
    from featherface.zoo import checked_file, list_models

    cards = {card.name: card for card in list_models()}
    path = checked_file(cards[model], f"{model}.safetensors") if model in cards else Path(model)
    network, image = load_weights(path), read_image(photo)
    picture = draw_gates(image, coordinate_gates(network, image), network.config.strides)
    write_bytes(save, encode_image(picture, save.suffix))
    typer.echo(str(save))


def _draw(target: Path, name: str, parts: list, size: int) -> None:  # type: ignore[type-arg]
    from featherface.atomic import write_bytes, write_text
    from featherface.images import encode_image
    from featherface.model.diagram import to_picture, to_svg

    if target.suffix == ".svg":
        write_text(target, to_svg(name, parts, size, size))
    elif target.suffix == ".png":
        write_bytes(target, encode_image(to_picture(name, parts, size, size), ".png"))
    else:
        raise ConfigError(f"--diagram {target}: must end in .svg or .png")
