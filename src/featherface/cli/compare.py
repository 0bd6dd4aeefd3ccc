"""`featherface compare`: several models on the same pictures in the same run."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from featherface.cli.lists import listed
from featherface.cli.progress import bar
from featherface.cli.targets import check_targets, writing
from featherface.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(
    models: Annotated[str, typer.Option(help="Shipped models and model files, separated by commas.")],
    data: Annotated[Path, typer.Option(help="Folder in the WIDER FACE layout.")],
    photo: Annotated[
        Path | None, typer.Option(help="Latency is measured on this; else on the first picture.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Timed runs of each model.")] = 30,
    limit: Annotated[int, typer.Option(help="Only about this many pictures, evenly spread.", min=0)] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw AP against latency into this file.")] = None,
) -> None:
    """AP, size and one-threaded latency at 640x640 of several models, taken in turns."""
    from featherface.atomic import write_text
    from featherface.evaluate.compare import EVALUATED, FOUND, square
    from featherface.evaluate.compare import compare as run
    from featherface.evaluate.compare_report import check_picture, draw, print_table, to_json
    from featherface.evaluate.ours import our_candidate
    from featherface.evaluate.run import every_nth, load_set

    names = listed(models)
    if not names or repeats < 3:
        raise ConfigError(f"{len(names)} models, {repeats} repeats: at least one model and three repeats")
    check_targets(json, picture)
    check_picture(picture)
    candidates = [our_candidate(name) for name in names]
    pictures = every_nth(load_set(data), limit)
    shown = square(photo or pictures.paths[0])
    with bar("comparing", len(pictures.paths) * len(candidates)) as advance:
        results = run(candidates, pictures, shown, repeats, advance)
    title = f"{pictures.name}, protocol original; latency at 640x640, one thread, {repeats} runs in turns"
    print_table(results, title)
    if json is not None:
        facts: dict[str, object] = {
            "image_set": pictures.name,
            "protocol": "original",
            "repeats": repeats,
            "score_thresholds": {"ap": EVALUATED, "latency": FOUND},
        }
        with writing(json):
            write_text(json, json_module.dumps(to_json(results, facts), indent=1) + "\n")
    if picture is not None:
        with writing(picture):
            draw(results, picture, title)
