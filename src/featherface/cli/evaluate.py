"""`featherface evaluate`: AP on WIDER FACE, of a model or of anybody's prediction files."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featherface.cli.progress import bar
from featherface.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featherface.evaluate.protocol import Protocol
    from featherface.evaluate.run import EvaluationSet
    from featherface.evaluate.wider import WiderResult


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder in the WIDER FACE layout.")],
    model: Annotated[str, typer.Option(help="A shipped model or a model file.")] = "v2",
    split: Annotated[str, typer.Option(help="Sub-folder that holds images/.")] = "val",
    protocol: Annotated[str, typer.Option(help="original, vga or multiscale.")] = "original",
    long_side: Annotated[
        int | None, typer.Option(help="Own protocol: resize the longer side to this.")
    ] = None,
    scales: Annotated[str | None, typer.Option(help="Own protocol: sizes merged, such as 1,1.6.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Evaluate these prediction files in place of a model.")
    ] = None,
    save_predictions: Annotated[
        Path | None, typer.Option(help="Folder to write prediction files to.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a page with curves, tables and what went wrong.")
    ] = None,
    curves: Annotated[
        Path | None, typer.Option(help="Folder of the toolkit's curves of other detectors, for the report.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Only about this many pictures, evenly spread.")] = 0,
    workers: Annotated[
        int | None, typer.Option(help="Threads, one picture each; all cores when not given.")
    ] = None,
) -> None:
    """AP Easy, Medium and Hard by the official protocol."""
    from featherface.evaluate.beyond import look_beyond, to_dict
    from featherface.evaluate.predictions import read_predictions, write_predictions
    from featherface.evaluate.run import every_nth, load_set
    from featherface.evaluate.wider import evaluate as measure

    pictures = every_nth(load_set(data, split), limit)
    missing: list[str] = []
    if predictions is not None:
        named = f"predictions of {predictions}"
        rows, missing = read_predictions(predictions, pictures.truths)
        how = None
    else:
        how = _protocol(protocol, long_side, scales)
        named = how.describe()
        rows = _detect(model, pictures, how, workers)
    if save_predictions is not None:
        for (event, name), found in rows.items():
            write_predictions(save_predictions, event, name, found)
    with bar("evaluating", len(pictures.truths)) as advance:
        result = measure(rows, pictures.truths, advance)

    faces = result.faces
    typer.echo(f"{pictures.name}: {result.images:,} pictures, faces {_three(faces, '{:,}')}")
    typer.echo(named)
    for name in missing[:5]:
        typer.echo(f"no predictions for {name}: counts as no detections", err=True)
    if missing:
        typer.echo(f"{len(missing):,} pictures without a prediction file", err=True)
    typer.echo("AP  " + "  ".join(f"{s.title()} {100 * v:.2f}" for s, v in result.ap.items()))
    beyond = look_beyond(rows, pictures.truths)
    for part in beyond.by_height:
        typer.echo(f"    {part.name:12} AP {100 * part.ap:5.2f}  {part.faces:6,} faces")
    few = "  ".join(f"{s.title()} {v:.1%}" for s, v in beyond.recall_at_few_alarms.items())
    typer.echo(
        f"found at one false alarm in ten pictures (score {beyond.threshold_at_few_alarms:.3f}): {few}"
    )
    if json is not None:
        more = to_dict(beyond)
        _write_json(json, pictures.name, result, how, model if predictions is None else None, missing, more)
    if report is not None:
        from featherface.evaluate.report import read_public_curves, write_report

        who = model if predictions is None else str(predictions)
        facts = [f"{who} on {pictures.name}", named, f"{result.images:,} pictures"]
        others = read_public_curves(curves) if curves is not None else None
        target = report / "index.html"
        write_report(target, f"featherface evaluate: {who}", facts, result, beyond, pictures.paths, others)
        typer.echo(str(target))


def _protocol(name: str, long_side: int | None, scales: str | None) -> Protocol:
    from featherface.cli.detect import parse_scales
    from featherface.evaluate.protocol import Protocol, protocol

    if long_side is None and scales is None:
        return protocol(name)
    if name != "original":
        raise ConfigError("--long-side and --scales make a protocol of their own; leave --protocol out")
    return Protocol("custom", long_side=long_side, scales=parse_scales(scales or "1"))


def _detect(
    model: str, pictures: EvaluationSet, how: Protocol, workers: int | None
) -> dict[tuple[str, str], NDArray[np.float64]]:
    from featherface.evaluate.run import detect_set, to_rows

    with bar("detecting", len(pictures.paths)) as advance:
        found = detect_set(model, pictures.paths, how, workers=workers, progress=advance)
    return {(t.event, t.name): to_rows(d) for t, d in zip(pictures.truths, found, strict=True)}


def _three(values: dict[str, Any], form: str) -> str:
    return " / ".join(form.format(value) for value in values.values())


def _write_json(
    path: Path,
    set_name: str,
    result: WiderResult,
    how: Protocol | None,
    model: str | None,
    missing: list[str],
    more: dict[str, object],
) -> None:
    import dataclasses

    from featherface.atomic import write_text

    content = {
        "image_set": set_name,
        "protocol": how.name if how else "predictions",
        "settings": dataclasses.asdict(how) if how else None,
        "model": model,
        "images": result.images,
        "faces": result.faces,
        "ap": result.ap,
        "without_predictions": missing,
        **more,
    }
    write_text(path, json_module.dumps(content, indent=1) + "\n")
