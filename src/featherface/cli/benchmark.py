"""`featherface benchmark`: latency, memory, size and cold start of models in several runtimes."""

from __future__ import annotations

import errno
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.errors import ConfigError, ModelError, reason_of

if TYPE_CHECKING:
    from featherface.benchmark.run import Subject

_WEIGHTS = (".pth", ".safetensors")
_NOT_RUN = ("torchscript", "coreml")
_PICTURE = Path(__file__).parents[1] / "export" / "faces.jpg"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(benchmark)


def benchmark(
    models: Annotated[
        str, typer.Option(help="Shipped models and model files, with commas; also others' ONNX files.")
    ] = "v2",
    formats: Annotated[
        str,
        typer.Option(help="onnx, openvino, ncnn, litert, executorch, also -int8 and -fp16; openvino-bf16."),
    ] = "onnx",
    sizes: Annotated[str, typer.Option(help="320, 640, vga, 1080p or HEIGHTxWIDTH.")] = "640",
    threads: Annotated[str, typer.Option(help="Thread counts, with commas.")] = "1",
    repeats: Annotated[int, typer.Option(help="Timed runs of each.")] = 30,
    warm_up: Annotated[int, typer.Option(help="Runs before that.")] = 3,
    photo: Annotated[
        Path, typer.Option(help="The photo; one with two dozen faces when not given.")
    ] = _PICTURE,
    calibration: Annotated[Path | None, typer.Option(help="Pictures for the int8 formats.")] = None,
    work: Annotated[Path | None, typer.Option(help="Folder for exported files; kept and reused.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write JSON.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the results: FILE.png or FILE.svg.")] = None,
) -> None:
    """Measure speed: every model file, size and thread count in a process of its own, in turns.

    Give a quiet machine. Ratios are to the first model of the same size and thread count.
    """
    import json as json_module

    from featherface.atomic import write_text
    from featherface.benchmark.report import draw, require_matplotlib, table, to_json
    from featherface.benchmark.run import machine, measure, parse_picture_size
    from featherface.export.versions import versions

    if picture is not None and picture.suffix not in (".png", ".svg"):
        raise ConfigError(f"--picture {picture}: must end in .png or .svg")
    for option, target in (("--json", json), ("--picture", picture)):
        if target is not None:
            _check_target(option, target)
    if picture is not None:
        require_matplotlib()
    _check_photo(photo)
    for form in formats.split(","):
        _check_format(form)
    for size in sizes.split(","):
        parse_picture_size(size)
    counts = [_thread_count(text) for text in threads.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        subjects = [
            subject
            for size in sizes.split(",")
            for model in models.split(",")
            for form in formats.split(",")
            for subject in _subjects(model, form, size, counts, work or Path(temporary), calibration)
        ]
        subjects = list({(s.file, s.size, s.threads, s.precision): s for s in subjects}.values())
        results = measure(
            _told_apart(subjects), photo, repeats, warm_up, lambda line: typer.echo(line, err=True)
        )
    about = machine()
    load = f", load {about['load_average']}" if about["load_average"] is not None else ""
    typer.echo(f"{about['cpu']}, {about['cores']} cores, {' '.join(about['instructions'])}{load}")
    typer.echo(table(results))
    if json is not None:
        found = to_json(results, versions(), photo, repeats, warm_up)
        write_text(json, json_module.dumps(found, indent=1) + "\n")
    if picture is not None:
        draw(results, picture)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _subjects(
    model: str, form: str, size: str, counts: list[int], work: Path, calibration: Path | None
) -> list[Subject]:
    """A file as it is; a shipped model in the format asked for, exported first where it has to be."""
    from featherface.benchmark.run import Subject, parse_picture_size

    height, width = parse_picture_size(size)
    kind, _, precision = form.partition("-")
    hint = precision if precision == "bf16" else None
    if Path(model).suffix in _WEIGHTS:
        file = _exported(model, kind, "" if hint else precision, (height, width), work, calibration)
        return [Subject(f"{Path(model).name} {form}", file, size, count, hint) for count in counts]
    if Path(model).suffix:
        if not Path(model).is_file():
            raise ModelError(f"{model}: no such file")
        if hint and Path(model).suffix == ".xml":
            return [Subject(f"{Path(model).name} {form}", Path(model), size, count, hint) for count in counts]
        return [Subject(Path(model).name, Path(model), size, count) for count in counts]
    if form == "onnx":
        from featherface.zoo import find_model

        file = find_model(model)
    else:
        file = _exported(model, kind, "" if hint else precision, (height, width), work, calibration)
    return [Subject(f"{model} {form}", file, size, count, hint) for count in counts]


def _told_apart(subjects: list[Subject]) -> list[Subject]:
    """Files of one name in different folders by their whole paths."""
    files: dict[tuple[str, str], set[Path]] = {}
    for s in subjects:  # of one title in two sizes may well be two files
        files.setdefault((s.title, s.size), set()).add(s.file)
    return [replace(s, title=str(s.file)) if len(files[s.title, s.size]) > 1 else s for s in subjects]


def _exported(
    model: str, kind: str, precision: str, size: tuple[int, int], work: Path, calibration: Path | None
) -> Path:
    from featherface.export.options import Options, find_format

    form = find_format(kind)
    padded = (-(-size[0] // 32) * 32, -(-size[1] // 32) * 32)
    options = Options(
        form,
        input_size=None if form.dynamic else padded,
        precision=precision or "fp32",  # type: ignore[arg-type]
        calibration=calibration if precision == "int8" else None,
    )
    from featherface.export.fingerprint import fingerprint, is_made_from
    from featherface.export.load import load_model

    name, network = load_model(model)
    if Path(model).suffix:  # two files in different folders may have one name
        name = f"{name}-{fingerprint(network, replace(options, calibration=None, precision='fp32'))[:8]}"
    file = work / options.file_name(name)
    if not is_made_from(file, network, options) or not _is_whole(file):
        from featherface.export.export import export_model

        typer.echo(f"exporting {file.name}", err=True)
        export_model(network, name, work, options, report=lambda line: typer.echo(line, err=True))
    return file


def _is_whole(file: Path) -> bool:
    from featherface.runtimes.card import checked_spec

    try:
        checked_spec(file)
    except ModelError:
        return False
    return True


def _check_format(text: str) -> None:
    """ConfigError for what is no format, or one that nothing here runs, before anything is exported."""
    from featherface.export.options import find_format

    kind, dash, precision = text.partition("-")
    runtime = find_format(kind).runtime
    if kind in _NOT_RUN:
        raise ConfigError(
            f"format {text!r}: the detector does not run {runtime}'s files, so they are not measured"
        )
    if precision == "bf16" and kind != "openvino":
        raise ConfigError(f"format {text!r}: only openvino computes in bf16 when told to")
    if dash and precision not in ("fp16", "int8", "bf16"):
        raise ConfigError(f"format {text}: there are -fp16, -int8 and openvino-bf16")


def _check_photo(photo: Path) -> None:
    try:
        there = photo.is_file()
    except OSError as error:  # a name that is too long, a folder that lets nobody look
        raise ConfigError(f"--photo {photo}: cannot be read ({reason_of(error)})") from error
    if not there:
        raise ConfigError(f"--photo {photo}: no such file")


def _check_target(option: str, target: Path) -> None:
    """Hours of measuring are not to end at a file that cannot be written."""
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"{option} {target}: cannot be written ({reason_of(error)})") from error


def _thread_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--threads {text!r}: expected numbers such as 1,2")
    return int(text)
