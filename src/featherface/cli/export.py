"""`featherface export`: a model for another runtime, checked against torch on real photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featherface.cli.lists import listed
from featherface.errors import ConfigError

if TYPE_CHECKING:
    from featherface.export.options import Options
    from featherface.model.network import FeatherFace

_INT8 = "int8"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    output: Annotated[
        Path | None, typer.Option(help="Folder for the model, its JSON and an example.")
    ] = None,
    format: Annotated[
        str, typer.Option(help="onnx, openvino, ncnn, litert, torchscript, executorch or coreml.")
    ] = "onnx",
    model: Annotated[str, typer.Option(help="A shipped model, a .safetensors or a published .pth.")] = "v2",
    input_size: Annotated[
        str | None,
        typer.Option(help="HEIGHTxWIDTH or dynamic; dynamic, or 640x640 where a runtime needs one size."),
    ] = None,
    with_decode: Annotated[
        bool, typer.Option("--with-decode", help="Boxes and landmarks in pixels come out.")
    ] = False,
    with_nms: Annotated[
        bool, typer.Option("--with-nms", help="Suppression inside too (onnx, openvino).")
    ] = False,
    score_threshold: Annotated[
        float, typer.Option(help="Least score of a face; built in by --with-nms, else for the example.")
    ] = 0.5,
    iou_threshold: Annotated[
        float, typer.Option(help="Boxes that overlap more are one face; likewise.")
    ] = 0.4,
    max_detections: Annotated[
        int, typer.Option(help="Most faces that come out; built in by --with-nms, else told in the JSON.")
    ] = 750,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half-size weights.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Quantize.", rich_help_panel=_INT8)] = False,
    calibration: Annotated[
        Path | None, typer.Option(help="Folder of pictures to calibrate on.", rich_help_panel=_INT8)
    ] = None,
    calibration_images: Annotated[int, typer.Option(help="How many of them.", rich_help_panel=_INT8)] = 100,
    float_layers: Annotated[
        str | None,
        typer.Option(help="Groups that stay float, with commas; none for none.", rich_help_panel=_INT8),
    ] = None,
    sensitivity: Annotated[
        Path | None,
        typer.Option(
            help="Do not export; print AP lost per layer group on this WIDER FACE folder (onnx).",
            rich_help_panel=_INT8,
        ),
    ] = None,
    sensitivity_images: Annotated[
        int, typer.Option(help="On about so many of its pictures.", rich_help_panel=_INT8)
    ] = 50,
    photos: Annotated[
        list[Path] | None, typer.Option(help="Photos for the check; one that ships when not given.")
    ] = None,
) -> None:
    """Write a model for another runtime: the file, a JSON that says all about it, an example in its language.

    The file is run in its runtime and compared with torch first; when it drifts, nothing is written.
    """
    from featherface.export.options import DEFAULT_SIZE, Options, find_format, parse_size

    kind = find_format(format)
    if fp16 and (int8 or sensitivity):
        raise ConfigError("--fp16 and --int8 exclude each other")
    size = parse_size(input_size) if input_size else None if kind.dynamic else DEFAULT_SIZE
    options = Options(
        kind,
        input_size=size,
        precision="int8" if int8 or sensitivity else "fp16" if fp16 else "fp32",
        with_decode=with_decode,
        with_nms=with_nms,
        calibration=calibration,
        calibration_images=calibration_images,
        float_layers=_groups(float_layers),
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        max_detections=max_detections,
    )
    from featherface.export.load import load_model

    if sensitivity is not None:
        _print_sensitivity(load_model(model)[1], options, sensitivity, sensitivity_images)
        return
    if output is None:
        raise ConfigError("--output DIR: the folder for the files")
    name, network = load_model(model)
    from featherface.cli.targets import tidy_when_stopped
    from featherface.export.check import PHOTO
    from featherface.export.export import export_model

    with tidy_when_stopped():
        done = export_model(
            network, name, output, options, photos or (PHOTO,), lambda line: typer.echo(line, err=True)
        )
    found = done.parity
    typer.echo(f"{done.model}: {done.size / 1e6:.2f} MB")
    differences = ", ".join(f"{key} {value:.1e}" for key, value in found.max_difference.items())
    typer.echo(
        f"checked: {found.checked}"
        + (f"; largest differences from torch: {differences}" if differences else "")
    )
    if found.pictures:
        typer.echo(f"faces: {found.matched_at_iou_95} of {found.faces} at IoU over 0.95")
    typer.echo(f"{done.card}\n{done.snippet}")


def _groups(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return () if text == "none" else tuple(listed(text))


def _print_sensitivity(network: FeatherFace, options: Options, data: Path, images: int) -> None:
    """AP lost per group of layers: what stays float is chosen by this."""
    from featherface.cli.validation import make_measure
    from featherface.export.export import check_possible

    if options.format.name != "onnx":
        raise ConfigError("--sensitivity is measured in ONNX Runtime: --format onnx")
    check_possible(network, options)
    measure = make_measure(str(data), images)
    from featherface.export.int8 import Sensitivity, sensitivity

    def show(row: Sensitivity) -> None:
        if row.group == "all float":
            names = "".join(f"{subset:>8}" for subset in row.ap)
            typer.echo(f"{'kept in float':22}{names}   AP that int8 costs there")
        values = "".join(f"{100 * value:8.2f}" for value in row.ap.values())
        lost = " ".join(f"{subset} {100 * value:+.2f}" for subset, value in row.lost.items())
        typer.echo(f"{row.group:22}{values}   {lost}")

    sensitivity(network, options, measure, show, lambda line: typer.echo(line, err=True))
