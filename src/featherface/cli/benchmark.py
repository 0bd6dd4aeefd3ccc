"""`featherface benchmark`: latency, memory, size and cold start of models in several runtimes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from featherface.cli.benchmark_files import export_missing, plan, subjects
from featherface.cli.lists import listed
from featherface.cli.targets import check_targets, writing
from featherface.errors import ConfigError

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
    from featherface.benchmark.run import check_runs, machine, measure, parse_picture_size
    from featherface.export.versions import versions
    from featherface.images import read_image

    # Exporting and measuring take minutes to hours: what is wrong is told before.
    if picture is not None and picture.suffix not in (".png", ".svg"):
        raise ConfigError(f"--picture {picture}: must end in .png or .svg")
    check_targets(json, picture, folders=[work])
    if picture is not None:
        require_matplotlib()
    check_runs(repeats, warm_up)
    read_image(photo)
    named, forms, pictures = listed(models), listed(formats), listed(sizes)
    counts = [_thread_count(text) for text in listed(threads)]
    for option, values in (("models", named), ("formats", forms), ("sizes", pictures), ("threads", counts)):
        if not values:
            raise ConfigError(f"--{option}: names none")
    for size in pictures:
        parse_picture_size(size)
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        wanted = plan(named, forms, pictures, folder, calibration)
        export_missing(wanted, folder)
        results = measure(
            subjects(wanted, counts), photo, repeats, warm_up, lambda line: typer.echo(line, err=True)
        )
    about = machine()
    load = f", load {about['load_average']}" if about["load_average"] is not None else ""
    typer.echo(f"{about['cpu']}, {about['cores']} cores, {' '.join(about['instructions'])}{load}")
    typer.echo(table(results))
    if json is not None:
        found = to_json(results, versions(), photo, repeats, warm_up)
        with writing(json):
            write_text(json, json_module.dumps(found, indent=1) + "\n")
    if picture is not None:
        with writing(picture):
            draw(results, picture)
    if any(result.error for result in results):
        raise typer.Exit(1)


def _thread_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f"--threads {text!r}: expected numbers such as 1,2")
    return int(text)
