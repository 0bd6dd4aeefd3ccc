"""`featherface dataset` and `featherface pseudo-label`: labelled pictures checked, shown, converted, completed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.cli.targets import check_targets, writing
from featherface.errors import ConfigError, DataError, FeatherFaceError, ImageError, MissingExtraError

if TYPE_CHECKING:
    from featherface.annotations import Annotation
    from featherface.annotations.check import SetReport
    from featherface.images import Image

_Labels = Annotated[
    Path, typer.Argument(help="A label file, or a folder that holds one.", show_default=False)
]
_Format = Annotated[str, typer.Option("--format", help="The labels' format; auto finds out.")]
_SHOWN_PROBLEMS = 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Labelled pictures: check, show, convert.")
    group.command()(check)
    group.command()(show)
    group.command()(convert)
    app.add_typer(group, name="dataset")
    app.command()(pseudo_label)


def check(
    labels: _Labels,
    format: _Format = "auto",
    plot: Annotated[Path | None, typer.Option(help="Draw the sizes of the faces: FILE.png.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Name every problem, not the first twenty.")] = False,
) -> None:
    """Count a labelled set and name what is wrong with it. Exit code 1 when something is."""
    from featherface.annotations import read_annotations
    from featherface.annotations.check import check_set
    from featherface.cli.progress import bar

    check_targets(plot)
    unreadable: list[FeatherFaceError] = []
    annotations = read_annotations(labels, format, unreadable.append)
    with bar("checking", len(annotations)) as advance:
        report = check_set(annotations, advance)
    for line in report.lines():
        typer.echo(line)
    if plot is not None:
        with writing(plot):
            _plot_sizes(report, plot)
    problems = [*map(str, unreadable), *report.problems]
    for line in problems if every else problems[:_SHOWN_PROBLEMS]:
        typer.echo(line, err=True)
    if problems:
        hidden = 0 if every else max(0, len(problems) - _SHOWN_PROBLEMS)
        typer.echo(
            f"{len(problems):,} problems" + (f", {hidden:,} not shown (--all)" if hidden else ""), err=True
        )
        raise typer.Exit(1)


def show(
    source: Annotated[Path, typer.Argument(help="Labels, or a recipe (.toml) for its augmented crops.")],
    save: Annotated[Path, typer.Option(help="Where the sheet goes: FILE.png or FILE.jpg.")],
    format: _Format = "auto",
    count: Annotated[int, typer.Option(help="How many pictures.", min=1, max=100)] = 12,
    seed: Annotated[int, typer.Option(help="Which ones.", min=0)] = 0,
) -> None:
    """A sheet of pictures with their boxes; ignored faces are grey."""
    from featherface.annotations.sheet import sheet
    from featherface.atomic import write_bytes
    from featherface.images import encode_image

    check_targets(save)
    pictures = _crops(source, count, seed) if source.suffix == ".toml" else _some(source, format, count, seed)
    with writing(save):
        write_bytes(save, encode_image(sheet(pictures), save.suffix))
    typer.echo(str(save))


def convert(
    labels: _Labels,
    to: Annotated[str, typer.Option(help="The format to write: retinaface, wider, coco, yolo, voc.")],
    output: Annotated[Path, typer.Option(help="A file, or for yolo and voc a folder.")],
    format: _Format = "auto",
) -> None:
    """Write labels in another format."""
    from featherface.annotations import read_annotations, write_annotations

    annotations = read_annotations(labels, format)
    write_annotations(annotations, output, to)
    typer.echo(f"{output}: {sum(map(len, annotations)):,} faces in {len(annotations):,} pictures")


def pseudo_label(
    pictures: Annotated[list[str], typer.Argument(help="Files, folders or globs.", show_default=False)],
    output: Annotated[Path, typer.Option(help="The label file (yolo and voc: folder) to write.")],
    model: Annotated[str, typer.Option(help="The teacher: a shipped model or a model file.")] = "v2",
    sure: Annotated[float, typer.Option(help="From this score on it is a face.", min=0, max=1)] = 0.6,
    doubtful: Annotated[
        float, typer.Option(help="From this score on it is ignored rather than background.", min=0, max=1)
    ] = 0.2,
    labels: Annotated[
        Path | None, typer.Option(help="Existing labels, which win over what is found.")
    ] = None,
    to: Annotated[str, typer.Option(help="The format to write.")] = "retinaface",
    scales: Annotated[str, typer.Option(help="Sizes at which the teacher looks.")] = "1,2",
) -> None:
    """Label pictures by a teacher: the sure faces as faces, the doubtful ones as ignored."""
    from featherface.annotations import read_annotations, write_annotations
    from featherface.annotations.complete import complete
    from featherface.annotations.read import FOLDER_FORMATS, check_pictures, check_target
    from featherface.cli.inputs import expand
    from featherface.cli.looks import parse_scales
    from featherface.cli.progress import bar
    from featherface.detector import Detector

    if doubtful > sure:
        raise ConfigError(f"--doubtful {doubtful} is over --sure {sure}")
    place = check_target(output, to)
    if to in FOLDER_FORMATS:
        check_targets(folders=[place])
    else:
        check_targets(place)
    known = {a.path.resolve(): a for a in (read_annotations(labels) if labels else [])}
    detector, sizes = Detector(model, score_threshold=doubtful), parse_scales(scales)
    found, failed = [], []
    inputs = expand(pictures)
    # Said now, not when all are done.
    check_pictures([Path(item.path) for item in inputs], place, to)
    if known and not any(Path(item.path).resolve() in known for item in inputs):
        raise ConfigError(f"--labels {labels}: labels none of the pictures, such as {inputs[0].path}")
    with bar("labelling", len(inputs)) as advance:
        for item in inputs:
            path = Path(item.path)
            try:
                detections = detector.detect(item.source(), scales=sizes, flip=True)
                found.append(complete(path, detections, sure, known.get(path.resolve())))
            except (ImageError, DataError) as error:
                failed.append(str(error))
            advance()
    if found:
        write_annotations(found, output, to)
        ignored = sum(int(a.ignored.sum()) for a in found)
        faces = sum(map(len, found)) - ignored
        typer.echo(f"{output}: {faces:,} faces and {ignored:,} ignored in {len(found):,} pictures")
    for line in failed:
        typer.echo(f"featherface: {line}", err=True)
    if failed:
        raise typer.Exit(1)


def _some(labels: Path, format: str, count: int, seed: int) -> list[tuple[Image, Annotation]]:
    import numpy as np

    from featherface.annotations import read_annotations
    from featherface.images import read_image

    annotations = read_annotations(labels, format)
    chosen = np.random.default_rng(seed).permutation(len(annotations))[:count]
    return [(read_image(annotations[i].path), annotations[i]) for i in sorted(chosen)]


def _crops(recipe: Path, count: int, seed: int) -> list[tuple[Image, Annotation]]:
    import featherface.model  # noqa: F401  (a missing torch is said here, in one sentence)
    from featherface.annotations import Annotation
    from featherface.train.config import load_config
    from featherface.train.data import CropDataset

    config = load_config(recipe)
    data = CropDataset.of(config.data, seed)
    samples = [data[i] for i in range(count)]
    return [
        (s.image, Annotation(Path(f"crop {i}"), s.labels.boxes, s.labels.landmarks, s.labels.ignored))
        for i, s in enumerate(samples)
    ]


def _plot_sizes(report: SetReport, target: Path) -> None:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtraError("matplotlib", "evaluate") from error
    from featherface.atomic import atomic_path

    names, counts = zip(*report.by_size(), strict=True)
    figure, axis = pyplot.subplots(figsize=(7, 3.5))
    axis.bar(names, counts, color="#3a6ea5")
    axis.set_xlabel("size of the face: square root of its box's area, pixels")
    axis.set_ylabel("faces")
    axis.set_title(f"{report.faces:,} faces in {report.pictures:,} pictures")
    axis.grid(axis="y", alpha=0.3)
    figure.tight_layout()
    with atomic_path(target) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    pyplot.close(figure)
