"""The files that `featherface benchmark` measures; what can be wrong with them is told before any is exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from featherface.errors import ConfigError, ModelError, reason_of
from featherface.runtimes.card import checked_spec, is_openvino

if TYPE_CHECKING:
    from featherface.benchmark.run import Subject
    from featherface.export.options import Options
    from featherface.model.network import FeatherFace

_WEIGHTS = (".pth", ".safetensors")
_NOT_RUN = ("torchscript", "coreml")


@dataclass(frozen=True)
class _Export:
    """What a file that is not there yet is exported from."""

    network: FeatherFace
    name: str
    options: Options


@dataclass(frozen=True)
class Wanted:
    """A file to measure at one size of picture."""

    title: str
    file: Path
    size: str
    hint: str | None = None
    """What OpenVINO is to compute in, when not float32."""
    export: _Export | None = None


def plan(
    models: Sequence[str], forms: Sequence[str], sizes: Sequence[str], work: Path, calibration: Path | None
) -> list[Wanted]:
    """Files as they are; shipped models and weights in the formats asked for, in `work` or still to be exported.

    ConfigError, ModelError, DataError or MissingExtraError for what cannot be had.
    """
    for form in forms:
        _check_format(form)
    return [
        _wanted(model, form, size, work, calibration) for size in sizes for model in models for form in forms
    ]


def export_missing(wanted: Sequence[Wanted], work: Path) -> None:
    """Export what is not there yet, each file once."""
    for file, export in {w.file: w.export for w in wanted if w.export is not None}.items():
        from featherface.export.export import export_model

        typer.echo(f"exporting {file.name}", err=True)
        export_model(
            export.network, export.name, work, export.options, report=lambda line: typer.echo(line, err=True)
        )


def subjects(wanted: Sequence[Wanted], counts: Sequence[int]) -> list[Subject]:
    """Each file with each number of threads, none twice, those of one title told apart."""
    from featherface.benchmark.run import Subject

    named = [Subject(w.title, w.file, w.size, count, w.hint) for w in wanted for count in counts]
    return _told_apart(list({(s.file, s.size, s.threads, s.precision): s for s in named}.values()))


def _told_apart(subjects: list[Subject]) -> list[Subject]:
    """Files of one name in different folders by their whole paths."""
    files: dict[tuple[str, str], set[Path]] = {}
    for s in subjects:  # of one title in two sizes may well be two files
        files.setdefault((s.title, s.size), set()).add(s.file)
    return [replace(s, title=str(s.file)) if len(files[s.title, s.size]) > 1 else s for s in subjects]


def _wanted(model: str, form: str, size: str, work: Path, calibration: Path | None) -> Wanted:
    path, (kind, _, precision) = Path(model), form.partition("-")
    hint = precision if precision == "bf16" else None
    title = f"{path.name} {form}"
    if path.suffix in _WEIGHTS or (not path.suffix and form != "onnx"):
        export = _export(model, kind, "" if hint else precision, size, calibration)
        file = work / export.options.file_name(export.name)
        return Wanted(title, file, size, hint, None if _is_there(file, export) else _checked(export))
    if not path.suffix:
        from featherface.zoo import find_model

        return Wanted(title, find_model(model), size)
    _check_file(path)
    if hint and is_openvino(path):
        return Wanted(title, path, size, hint)
    return Wanted(path.name, path, size)


def _export(model: str, kind: str, precision: str, size: str, calibration: Path | None) -> _Export:
    from featherface.benchmark.run import parse_picture_size
    from featherface.export.fingerprint import fingerprint
    from featherface.export.load import load_model
    from featherface.export.options import Options, find_format
    from featherface.images import filled

    form = find_format(kind)
    height, width = (filled(side) for side in parse_picture_size(size))
    options = Options(
        form,
        input_size=None if form.dynamic else (height, width),
        precision=precision or "fp32",  # type: ignore[arg-type]
        calibration=calibration if precision == "int8" else None,
    )
    name, network = load_model(model)
    if Path(model).suffix:  # two files in different folders may have one name
        name = f"{name}-{fingerprint(network, replace(options, calibration=None, precision='fp32'))[:8]}"
    return _Export(network, name, options)


def _checked(export: _Export) -> _Export:
    from featherface.export.export import ready_converter

    ready_converter(export.network, export.options)
    return export


def _is_there(file: Path, export: _Export) -> bool:
    """Whether the file is whole and was made from these."""
    from featherface.export.fingerprint import is_made_from

    try:
        return is_made_from(file, export.network, export.options) and bool(checked_spec(file))
    except ModelError:
        return False


def _check_file(path: Path) -> None:
    try:
        there = path.is_file()
    except OSError as error:  # a name that is too long, a folder that lets nobody look
        raise ModelError(f"{path}: cannot be read ({reason_of(error)})") from error
    if not there:
        raise ModelError(f"{path}: no such file")


def _check_format(text: str) -> None:
    """ConfigError for what is no format, or one that nothing here runs."""
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
