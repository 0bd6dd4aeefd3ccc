"""`featherface evaluate`: AP of a model or of anybody's prediction files, on WIDER FACE or on labels of your own."""

from __future__ import annotations

import dataclasses
import json as json_module
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.atomic import write_text
from featherface.cli.progress import bar
from featherface.cli.targets import check_targets, writing
from featherface.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from featherface.detections import Detections
    from featherface.evaluate.evaluation import Evaluation
    from featherface.evaluate.protocol import Protocol
    from featherface.evaluate.report import PublicCurves
    from featherface.evaluate.run import EvaluationSet, Rows
    from featherface.runtime import Session

_SHOWN_MISSING = 5
_OF_A_MODEL = ("model", "protocol", "long_side", "scales", "workers")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    context: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder in the WIDER FACE layout, or labels of any format.")],
    model: Annotated[str, typer.Option(help="A shipped model or a model file.")] = "v2",
    split: Annotated[str, typer.Option(help="WIDER FACE: sub-folder that holds images/.")] = "val",
    format: Annotated[
        str,
        typer.Option(
            help="The labels' format: wider-face, coco, yolo, voc, retinaface, wider; auto finds out."
        ),
    ] = "auto",
    protocol: Annotated[
        str, typer.Option(help="original, detect, vga, multiscale or agreement.")
    ] = "original",
    long_side: Annotated[
        int | None, typer.Option(help="Own protocol: resize the longer side to this.")
    ] = None,
    scales: Annotated[str | None, typer.Option(help="Own protocol: sizes merged, such as 1,1.6.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Evaluate these prediction files in place of a model.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Another detector's prediction files: by how much AP differs, and how far by chance."
        ),
    ] = None,
    save_predictions: Annotated[
        Path | None, typer.Option(help="Folder to write prediction files to.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a page with curves, tables and what went wrong.")
    ] = None,
    curves: Annotated[
        Path | None,
        typer.Option(help="The toolkit's curves of other detectors (a folder or one .mat), for the report."),
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
    from featherface.evaluate.predictions import write_predictions
    from featherface.evaluate.run import every_nth, to_predictions

    _check_options(context, data / split, predictions, report, curves)
    check_targets(json, folders=(report, save_predictions))
    others = _public_curves(report, curves)
    how = _protocol(protocol, long_side, scales) if predictions is None else None
    session = _open(model, how) if how else None
    everything = _load(data, split, format)
    pictures = every_nth(everything, limit)
    _check_subsets(others, pictures, curves)
    other = _read(against, pictures, everything) if against is not None else None
    files = None
    found: list[Detections] | None = None
    if predictions is not None:
        who, named = str(predictions), f"predictions of {predictions}"
        files = _read(predictions, pictures, everything)
        rows = files.rows
        _check_saved(save_predictions, rows)
    else:
        assert how is not None and session is not None
        who, named = model, how.describe()
        _check_saved(save_predictions, {(t.event, t.name) for t in pictures.truths})
        found = _detect(session, pictures, how, workers)
        rows = to_predictions(found, pictures.truths)
    if save_predictions is not None:
        with writing(save_predictions):
            for (event, name), detections in rows.items():
                write_predictions(save_predictions, event, name, detections)
    with bar("evaluating", len(pictures.truths)) as advance:
        measured = evaluate_all(pictures, rows, found, advance, other.rows if other else None)

    counts = " / ".join(f"{count:,}" for count in measured.result.faces.values())
    typer.echo(f"{pictures.name}: {len(pictures.truths):,} pictures, faces {counts}")
    typer.echo(named)
    for given in (files, other):
        if given is not None:
            _say_what_is_not_there(given)
    if against is not None:
        typer.echo(f"beside predictions of {against}")
    for line in measured.lines():
        typer.echo(line)
    if json is not None:
        run = {
            "protocol": how.name if how else "predictions",
            "settings": dataclasses.asdict(how) if how else None,
            "model": model if how else None,
            "predictions": str(predictions) if predictions is not None else None,
            "without_predictions": files.missing if files else [],
            "other_predictions": str(against) if against is not None else None,
        }
        with writing(json):
            write_text(json, json_module.dumps(run | measured.to_dict(), indent=1) + "\n")
    if report is not None:
        facts = {"detector": who, "protocol": named if how else "not known: prediction files"}
        if files is not None and files.missing:
            facts["without prediction files"] = (
                f"{len(files.missing):,} pictures, which count as without detections"
            )
        _report(report / "index.html", f"Evaluation of {who}", facts, measured, others)


@dataclasses.dataclass(frozen=True)
class _Files:
    """A detector's prediction files."""

    rows: dict[tuple[str, str], Rows]
    missing: list[str]
    strangers: list[Path]


def _read(folder: Path, pictures: EvaluationSet, everything: EvaluationSet) -> _Files:
    from featherface.evaluate.predictions import other_files, read_predictions

    rows, missing = read_predictions(folder, pictures.truths, everything.known)
    return _Files(rows, missing, other_files(folder, everything.known))


def _say_what_is_not_there(files: _Files) -> None:
    for name in files.missing[:_SHOWN_MISSING]:
        typer.echo(f"no predictions for {name}: counts as no detections", err=True)
    if files.missing:
        typer.echo(f"{len(files.missing):,} pictures without a prediction file", err=True)
    for path in files.strangers[:_SHOWN_MISSING]:
        typer.echo(f"{path}: a text file of no picture of this set; not evaluated", err=True)
    if files.strangers:
        typer.echo(f"{len(files.strangers):,} text files of no picture of this set", err=True)


def _check_options(
    context: typer.Context, part: Path, predictions: Path | None, report: Path | None, curves: Path | None
) -> None:
    """Options that would be without effect."""
    source = {name: context.get_parameter_source(name) for name in ("split", *_OF_A_MODEL)}
    said = [name for name, s in source.items() if s and s.name == "COMMANDLINE"]
    given = [f"--{name.replace('_', '-')}" for name in said if name != "split"]
    if "split" in said and not part.is_dir():
        raise ConfigError(f"--split {part.name}: {part.parent} has no such sub-folder")
    if predictions is not None and given:
        raise ConfigError(f"{', '.join(given)}: says how a model is run, but --predictions runs none")
    if curves is not None and report is None:
        raise ConfigError("--curves are drawn in the report; name its folder with --report")


def _public_curves(report: Path | None, curves: Path | None) -> PublicCurves | None:
    if report is not None and find_spec("matplotlib") is None:
        raise MissingExtraError("matplotlib", "evaluate")
    if curves is None:
        return None
    from featherface.evaluate.report import read_public_curves

    return read_public_curves(curves)


def _check_subsets(others: PublicCurves | None, pictures: EvaluationSet, curves: Path | None) -> None:
    subsets = set(pictures.truths[0].counted)
    if others and not any(subsets & set(other) for other in others.values()):
        named = ", ".join(sorted({subset for other in others.values() for subset in other}))
        raise ConfigError(f"{curves}: curves of {named}; these pictures have {', '.join(sorted(subsets))}")


def _check_saved(folder: Path | None, written: Collection[tuple[str, str]]) -> None:
    """Files of an earlier run among the new ones would be taken for them."""
    from featherface.evaluate.predictions import other_files

    others = other_files(folder, written) if folder is not None else []
    if others:
        raise ConfigError(
            f"{folder}: holds {len(others):,} text files that this run would not write, such as {others[0]}; "
            "name an empty folder"
        )


def _open(model: str, how: Protocol) -> Session:
    """The model, when it can be run by this protocol."""
    from featherface.runtime import open_session
    from featherface.zoo import find_model

    session = open_session(find_model(model), threads=1)
    how.check_fits(model, session.spec.input_size)
    return session


def _report(
    target: Path, title: str, facts: dict[str, str], measured: Evaluation, others: PublicCurves | None
) -> None:
    from featherface.evaluate.report import write_report

    pictures = measured.pictures
    with writing(target):
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
    from featherface.evaluate.labelled import find_labels, load_labelled
    from featherface.evaluate.run import load_set

    if format == "auto":
        data, format = find_labels(data, split)
    if format == "wider-face":
        return load_set(data, split)
    if find_spec("pycocotools") is None:
        raise MissingExtraError("pycocotools", "evaluate")
    return load_labelled(data, format)


def _protocol(name: str, long_side: int | None, scales: str | None) -> Protocol:
    from featherface.cli.looks import parse_scales
    from featherface.evaluate.protocol import Protocol, protocol

    if long_side is None and scales is None:
        return protocol(name)
    if name != "original":
        raise ConfigError("--long-side and --scales make a protocol of their own; leave --protocol out")
    return Protocol("custom", long_side=long_side, scales=parse_scales("1" if scales is None else scales))


def _detect(
    session: Session, pictures: EvaluationSet, how: Protocol, workers: int | None
) -> list[Detections]:
    from featherface.evaluate.run import detect_set

    with bar("detecting", len(pictures.paths)) as advance:
        return detect_set(session, pictures.paths, how, workers=workers, progress=advance)
