"""The options that say how pictures are looked at, the same in every command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

from featherface.errors import ConfigError

_SEARCH = "How to look"

LongSide = Annotated[
    int | None, typer.Option(help="Resize the longer side to this first.", rich_help_panel=_SEARCH)
]
Scales = Annotated[
    str,
    typer.Option(
        help="Several sizes merged, such as 1,2 for tiny faces; auto adds a small copy of a large picture, for "
        "faces that fill it.",
        rich_help_panel=_SEARCH,
    ),
]
Flip = Annotated[bool, typer.Option(help="Add a mirrored pass.", rich_help_panel=_SEARCH)]
Tile = Annotated[
    int | None, typer.Option(help="Cut very large pictures into tiles of this side.", rich_help_panel=_SEARCH)
]


def scales_or_auto(text: str) -> tuple[float, ...] | None:
    """As `parse_scales`; None for `auto`, the detector's own choice."""
    return None if text == "auto" else parse_scales(text)


def parse_scales(text: str) -> tuple[float, ...]:
    """`1,2` to (1.0, 2.0); ConfigError when it is not a list of numbers."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--scales {text!r}: expected numbers such as 1,2") from error
