"""`featherface evaluate`: AP of a model or of anybody's prediction files, on WIDER FACE or on labels of your own."""

from __future__ import annotations

import dataclasses
import json as json_module
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from featherface.atomic import write_text
from featherface.cli.progress import bar
from featherface.errors import ConfigError

if TYPE_CHECKING:
    from featherface.detections import Detections
    from featherface.evaluate.beyond import Beyond
    from featherface.evaluate.coco import CocoResult
    from featherface.evaluate.landmarks import LandmarkError
    from featherface.evaluate.protocol import Protocol
    from featherface.evaluate.report import PublicCurves
    from featherface.evaluate.run import EvaluationSet
    from featherface.evaluate.wider import WiderResult

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
    limit: Annotated[int, typer.Option(help="Only about this many pictures, evenly spread.")] = 0,
    workers: Annotated[
        int | None, typer.Option(help="Threads, one picture each; all cores when not given.")
    ] = None,
) -> None:
    """AP Easy, Medium and Hard by the official protocol; on other labels COCO's AP and the landmarks' error."""
    from featherface.evaluate.beyond import look_beyond, to_dict
    from featherface.evaluate.predictions import read_predictions, write_predictions
    from featherface.evaluate.run import every_nth, to_rows
    from featherface.evaluate.wider import evaluate as measure

    everything, labelled = _load(data, split, format)
    pictures = every_nth(everything, limit)
    others = _public_curves(curves)
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
        for (event, name), detections in rows.items():
            write_predictions(save_predictions, event, name, detections)
    with bar("evaluating", len(pictures.truths)) as advance:
        result = measure(rows, pictures.truths, advance)
    beyond = look_beyond(rows, pictures.truths)
    coco, landmarks = None, None
    if labelled:
        from featherface.evaluate.coco import coco_ap
        from featherface.evaluate.labelled import SUBSET
        from featherface.evaluate.landmarks import landmark_error

        coco = coco_ap(rows, pictures.truths, SUBSET)
        landmarks = landmark_error(found, pictures.truths, SUBSET) if found is not None else None

    typer.echo(
        f"{pictures.name}: {result.images:,} pictures, faces {' / '.join(f'{n:,}' for n in result.faces.values())}"
    )
    typer.echo(named)
    for name in missing[:_SHOWN_MISSING]:
        typer.echo(f"no predictions for {name}: counts as no detections", err=True)
    if missing:
        typer.echo(f"{len(missing):,} pictures without a prediction file", err=True)
    for line in (*_coco_lines(coco), *_wider_lines(result, beyond), *_landmark_lines(landmarks)):
        typer.echo(line)
    if json is not None:
        content = {
            "image_set": pictures.name,
            "protocol": how.name if how else "predictions",
            "settings": dataclasses.asdict(how) if how else None,
            "model": model if how else None,
            "images": result.images,
            "faces": result.faces,
            "ap": result.ap,
            "coco": _plain(coco),
            "landmarks": _plain(landmarks),
            "without_predictions": missing,
            **to_dict(beyond),
        }
        write_text(json, json_module.dumps(content, indent=1) + "\n")
    if report is not None:
        from featherface.evaluate.report import write_report

        facts = {
            "detector": who,
            "pictures": pictures.name,
            "protocol": named if how else "not known: prediction files",
        }
        if missing:
            facts["without a prediction file"] = (
                f"{len(missing):,} pictures, which count as without detections"
            )
        target = report / "index.html"
        write_report(
            target, f"Evaluation of {who}", facts, result, beyond, pictures.paths, others, coco, landmarks
        )
        typer.echo(str(target))


def _public_curves(folder: Path | None) -> PublicCurves | None:
    """Read before anything is detected: a wrong file is said at once."""
    if folder is None:
        return None
    from featherface.evaluate.report import read_public_curves

    return read_public_curves(folder)


def _load(data: Path, split: str, format: str) -> tuple[EvaluationSet, bool]:
    """The pictures, and whether they have labels of a general format rather than WIDER FACE's ground truth."""
    from featherface.evaluate.labelled import load_labelled
    from featherface.evaluate.run import load_set

    if format == "auto":
        official = (data / "ground_truth").is_dir()
        # The ground truth is of the validation pictures; the training pictures come with a label.txt.
        if official and (data / split / "label.txt").is_file():
            return load_labelled(data / split / "label.txt"), True
        format = "wider-face" if official or (data / split / "images").is_dir() else "auto"
    return (load_set(data, split), False) if format == "wider-face" else (load_labelled(data, format), True)


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


def _wider_lines(result: WiderResult, beyond: Beyond) -> list[str]:
    few = "  ".join(f"{s.title()} {v:.1%}" for s, v in beyond.recall_at_few_alarms.items())
    return [
        "AP  " + "  ".join(f"{s.title()} {100 * v:.2f}" for s, v in result.ap.items()),
        *(f"    {part.name:12} AP {100 * part.ap:5.2f}  {part.faces:6,} faces" for part in beyond.by_height),
        f"found at one false alarm in ten pictures (score {beyond.threshold_at_few_alarms:.3f}): {few}",
    ]


def _coco_lines(coco: CocoResult | None) -> list[str]:
    if coco is None:
        return []
    values = (("", coco.ap), ("50", coco.ap50), ("75", coco.ap75))
    sizes = (("small", coco.small), ("medium", coco.medium), ("large", coco.large))
    figures = [f"AP{name} {_percent(v)}" for name, v in values] + [
        f"{name} {_percent(v)}" for name, v in sizes
    ]
    return [f"COCO  {'  '.join(figures)}  (at most {coco.max_detections} a picture)"]


def _landmark_lines(error: LandmarkError | None) -> list[str]:
    if error is None or error.labelled == 0:
        return []
    return [
        f"landmarks off by {_percent(error.mean)}% of the face's size, median {_percent(error.median)}%; over 10% on "
        f"{_percent(error.over_a_tenth)}% of {error.found:,} faces found ({error.labelled:,} with labelled landmarks)"
    ]


def _percent(value: float) -> str:
    return "-" if isnan(value) else f"{100 * value:.2f}"


def _plain(result: CocoResult | LandmarkError | None) -> dict[str, Any] | None:
    """Values for JSON, which has no NaN."""
    if result is None:
        return None
    return {
        k: None if isinstance(v, float) and isnan(v) else v for k, v in dataclasses.asdict(result).items()
    }
