"""`featherface evaluate`: AP of a model or of anybody's prediction files, on WIDER FACE or on labels of your own."""

from __future__ import annotations

import dataclasses
import json as json_module
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.atomic import write_text
from featherface.cli.progress import bar
from featherface.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from featherface.detections import Detections
    from featherface.evaluate.evaluation import Evaluation
    from featherface.evaluate.protocol import Protocol
    from featherface.evaluate.report import PublicCurves
    from featherface.evaluate.run import EvaluationSet

_SHOWN_MISSING = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    data: Annotated[Path, typer.Option(help="Folder in the WIDER FACE layout, or labels of any format.")],
    model: Annotated[str, typer.Option(help="A shipped model or a model file.")] = "v2",
    split: Annotated[str, typer.Option(help="WIDER FACE: sub-folder that holds images/.")] = "val",
    format: Annotated[
        str,
        typer.Option(
            help="The labels' format: wider-face, coco, yolo, voc, retinaface, wider; auto finds out."
        ),
    ] = "auto",
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
    limit: Annotated[
        int, typer.Option(help="Only about this many pictures, evenly spread; 0 for all.", min=0)
    ] = 0,
    workers: Annotated[
        int | None, typer.Option(help="Threads, one picture each; all cores when not given.", min=1)
    ] = None,
) -> None:
    """AP Easy, Medium and Hard by the official protocol; on other labels COCO's AP and the landmarks' error."""
    from featherface.evaluate.evaluation import evaluate_all
    from featherface.evaluate.predictions import read_predictions, write_predictions
    from featherface.evaluate.run import every_nth, to_rows

    others = _check_early(json, report, save_predictions, curves)
    everything = _load(data, split, format)
    pictures = every_nth(everything, limit)
    missing: list[str] = []
    found: list[Detections] | None = None
    if predictions is not None:
        who, how, named = str(predictions), None, f"predictions of {predictions}"
        rows, missing = read_predictions(predictions, pictures.truths, everything.events)
    else:
        who, how = model, _protocol(protocol, long_side, scales)
        named = how.describe()
        found = _detect(model, pictures, how, workers)
        rows = {(t.event, t.name): to_rows(d) for t, d in zip(pictures.truths, found, strict=True)}
    if save_predictions is not None:
        with _writing(save_predictions):
            for (event, name), detections in rows.items():
                write_predictions(save_predictions, event, name, detections)
    with bar("evaluating", len(pictures.truths)) as advance:
        measured = evaluate_all(pictures, rows, found, advance)

    counts = " / ".join(f"{count:,}" for count in measured.result.faces.values())
    typer.echo(f"{pictures.name}: {len(pictures.truths):,} pictures, faces {counts}")
    typer.echo(named)
    for name in missing[:_SHOWN_MISSING]:
        typer.echo(f"no predictions for {name}: counts as no detections", err=True)
    if missing:
        typer.echo(f"{len(missing):,} pictures without a prediction file", err=True)
    for line in measured.lines():
        typer.echo(line)
    if json is not None:
        run = {
            "protocol": how.name if how else "predictions",
            "settings": dataclasses.asdict(how) if how else None,
            "model": model if how else None,
            "without_predictions": missing,
        }
        with _writing(json):
            write_text(json, json_module.dumps(run | measured.to_dict(), indent=1) + "\n")
    if report is not None:
        facts = {"detector": who, "protocol": named if how else "not known: prediction files"}
        if missing:
            facts["without prediction files"] = (
                f"{len(missing):,} pictures, which count as without detections"
            )
        _report(report / "index.html", f"Evaluation of {who}", facts, measured, others)


def _check_early(
    json: Path | None, report: Path | None, save_predictions: Path | None, curves: Path | None
) -> PublicCurves | None:
    """What would otherwise fail after all pictures have been looked at; the curves for the report."""
    for folder in (report, save_predictions):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: a file, not a folder to write into")
    if json is not None and json.is_dir():
        raise ConfigError(f"{json}: a folder, not a file to write")
    if report is not None and find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "evaluate")
    if curves is None:
        return None
    from featherface.evaluate.report import read_public_curves

    return read_public_curves(curves)


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Say in one line that something cannot be written."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written ({error.strerror or error})") from error


def _report(
    target: Path, title: str, facts: dict[str, str], measured: Evaluation, others: PublicCurves | None
) -> None:
    from featherface.evaluate.report import write_report

    pictures = measured.pictures
    with _writing(target):
        write_report(
            target,
            title,
            {**facts, "pictures": pictures.name},
            measured.result,
            measured.beyond,
            pictures.paths,
            others,
            measured.coco,
            measured.landmarks,
        )
    typer.echo(str(target))


def _load(data: Path, split: str, format: str) -> EvaluationSet:
    from featherface.evaluate.labelled import load_labelled
    from featherface.evaluate.run import load_set

    if format == "auto":
        official = (data / "ground_truth").is_dir()
        # The ground truth is of the validation pictures; the training pictures come with a label.txt.
        if official and (data / split / "label.txt").is_file():
            data = data / split / "label.txt"
        elif official or (data / split / "images").is_dir():
            format = "wider-face"
    if format == "wider-face":
        return load_set(data, split)
    if find_spec("pycocotools") is None:
        raise MissingExtraError("pycocotools", "evaluate")
    return load_labelled(data, format)


def _protocol(name: str, long_side: int | None, scales: str | None) -> Protocol:
    from featherface.cli.detect import parse_scales
    from featherface.evaluate.protocol import Protocol, protocol

    if long_side is None and scales is None:
        return protocol(name)
    if name != "original":
        raise ConfigError("--long-side and --scales make a protocol of their own; leave --protocol out")
    return Protocol("custom", long_side=long_side, scales=parse_scales(scales or "1"))


def _detect(model: str, pictures: EvaluationSet, how: Protocol, workers: int | None) -> list[Detections]:
    from featherface.evaluate.run import detect_set

    with bar("detecting", len(pictures.paths)) as advance:
        return detect_set(model, pictures.paths, how, workers=workers, progress=advance)
