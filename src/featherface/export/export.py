"""One export from start to end: convert, run and compare with torch, describe, and only then put in place."""

from __future__ import annotations

import importlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.nn import Conv2d

from featherface.errors import ConfigError, FeatherFaceError, ModelError, one_line, reason_of
from featherface.export.calibration import batches, find_pictures
from featherface.export.check import PHOTO, Parity, compare
from featherface.export.equalise import equalised
from featherface.export.failures import converting, open_runner, out_of_memory
from featherface.export.fingerprint import fingerprint
from featherface.export.layers import is_in
from featherface.export.options import Options
from featherface.export.place import place, refuse_folder
from featherface.export.portable import is_deformable
from featherface.export.snippets import write_snippet
from featherface.export.versions import refuse_older_converters, versions
from featherface.images import PAD_MULTIPLE, read_image
from featherface.model.network import FeatherFace, count_parameters
from featherface.runtimes.card import card_path, sha256
from featherface.runtimes.versions import import_failure

_MODULES = {"onnx": "onnx_variants"}
_RAW = {
    "scores": "(B, P), probability of a face for each prior",
    "box_deltas": "(B, P, 4), centre x, y and log width, height relative to the prior, over the variances",
    "landmark_deltas": "(B, P, 10), five points x, y relative to the prior, over the first variance",
}
_DECODED = {
    "scores": "(B, P), probability of a face for each prior",
    "boxes": "(B, P, 4), x1, y1, x2, y2 in input pixels",
    "landmarks": "(B, P, 10), five points x, y in input pixels",
}
_SUPPRESSED = {
    "scores": "(N,), best first",
    "boxes": "(N, 4), x1, y1, x2, y2 in input pixels",
    "landmarks": "(N, 10), five points x, y in input pixels",
}
_UNNAMED = {
    "ncnn": ("in0", ("out0", "out1", "out2")),
    "litert": ("input 0", ("output 0", "output 1", "output 2")),
    "executorch": ("input 0", ("output 0", "output 1", "output 2")),
    "torchscript": ("argument 0", ("result 0", "result 1", "result 2")),
}
"""What these runtimes call the input and the outputs."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    model: Path
    card: Path
    snippet: Path
    parity: Parity
    size: int
    """Bytes of all the model's files."""


def export_model(
    model: FeatherFace,
    name: str,
    directory: Path,
    options: Options,
    photos: Sequence[Path] = (PHOTO,),
    report: Callable[[str], None] = lambda line: None,
    needs_faces: bool = True,
) -> Exported:
    """Write the model file, the JSON beside it and an example for its runtime into `directory`.

    The file is run on `photos` in its runtime first. Raises ConfigError for what cannot be, DataError for a
    calibration folder without pictures, ImageError for a photo that cannot be read, MissingExtraError for a
    converter or runtime that is not installed, ModelError when the file drifts from torch, or when torch finds no
    face on the photos to compare (a network that was never trained does not: `needs_faces`); nothing is written
    then.
    """
    converter = ready_converter(model, options)
    refuse_folder(directory / options.file_name(name))
    for photo in photos:
        read_image(photo)  # converting takes minutes, after which it would be read for the first time
    with _workplace(directory) as folder:
        path = folder / options.file_name(name)
        report(f"converting to {options.format.runtime}")
        _convert(converter, model, path, options, report)
        files = sorted(folder.iterdir())
        card = card_path(path)
        about = _describe(model, name, options, files)
        card.write_text(json.dumps(about))
        report(f"running it in {options.format.runtime} and in torch")
        parity = _parity(converter, path, model, options, photos, needs_faces)
        card.write_text(json.dumps({**about, "parity": asdict(parity)}, indent=1) + "\n")
        snippet = write_snippet(path, options, model.config)
        size = sum(_size(file) for file in files)
        place([*files, snippet, card], directory)
    return Exported(directory / path.name, directory / card.name, directory / snippet.name, parity, size)


def ready_converter(model: FeatherFace, options: Options) -> Any:
    """The module that writes the format, once what it needs is there: see `export_model` for what is raised."""
    converter = _converter(options)
    check_possible(model, options)
    if hasattr(converter, "check_installed"):
        converter.check_installed(options)
    return converter


def _converter(options: Options) -> Any:
    """The module that writes the format."""
    kind = options.format
    refuse_older_converters(options)
    try:
        return importlib.import_module(f"featherface.export.{_MODULES.get(kind.name, kind.name)}")
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        if package == "featherface":
            raise
        raise import_failure(error, package or "a package", "train") from error


def check_possible(model: FeatherFace, options: Options) -> None:
    """ConfigError for what this network cannot become, DataError for a calibration folder without pictures."""
    if is_deformable(model) and not options.format.deformable:
        raise ConfigError(f"{model.config.name}: {options.format.runtime} has no deformable convolution")
    if is_deformable(model) and options.precision == "int8":
        raise ConfigError(f"{model.config.name}: no runtime has deformable convolution in int8")
    if options.precision == "int8":
        convs = [layer for layer, module in model.named_modules() if isinstance(module, Conv2d)]
        if absent := [g for g in options.float_layers or () if not any(is_in(conv, (g,)) for conv in convs)]:
            raise ConfigError(f"{model.config.name}: has no layers {absent[0]!r} to keep in float")
    if options.calibration is not None:
        find_pictures(options.calibration, 1)


@contextmanager
def _workplace(directory: Path) -> Iterator[Path]:
    """A folder beside the results, which vanishes whatever happens."""
    with _made(directory):
        try:
            folder = Path(tempfile.mkdtemp(prefix=".export-", dir=directory))
        except OSError as error:
            raise FeatherFaceError(f"{directory}: cannot be written ({reason_of(error)})") from error
        try:
            yield folder
        except OSError as error:
            raise FeatherFaceError(f"{directory}: cannot be written ({error})") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _made(directory: Path) -> Iterator[None]:
    """The folder, with those above it; what was made of them goes again when nothing came to lie in it."""
    absent: list[Path] = []
    try:
        absent += [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise FeatherFaceError(f"{directory}: cannot be written ({reason_of(error)})") from error
    finally:
        for path in absent:
            with suppress(OSError):  # it holds something, or was never made
                path.rmdir()


def _convert(
    converter: Any, model: FeatherFace, path: Path, options: Options, report: Callable[[str], None]
) -> None:
    with converting(options.format, path.parent):
        converter.convert(_prepared(model, options, report), path, options)


def _prepared(model: FeatherFace, options: Options, report: Callable[[str], None]) -> FeatherFace:
    return equalised(model, batches(options, report)) if options.precision == "int8" else model


def _parity(
    converter: Any,
    path: Path,
    model: FeatherFace,
    options: Options,
    photos: Sequence[Path],
    needs_faces: bool,
) -> Parity:
    if options.format.name == "coreml":
        return Parity(converter.check_structure(path, options))
    run = open_runner(converter, path, options)
    try:
        return compare(run, model, options, photos, options.format.runtime, needs_faces)
    except MemoryError as error:
        raise out_of_memory(options.format, "comparing with torch") from error
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{options.format.runtime} cannot run what was exported ({one_line(error, 160)})"
        ) from error


def _describe(model: FeatherFace, name: str, options: Options, files: list[Path]) -> dict[str, Any]:
    config = model.config
    outputs = _SUPPRESSED if options.with_nms else _DECODED if options.decodes else _RAW
    called, puts_out = _UNNAMED.get(options.format.name, ("images", tuple(outputs)))
    return {
        "format": 1,
        "name": name,
        "parameters": count_parameters(model),
        "made_from": fingerprint(model, options),
        "runtime": options.format.runtime,
        "precision": options.precision,
        "float_layers": _float_layers(options),
        "with_decode": options.decodes,
        "with_nms": options.with_nms,
        "input": {
            "name": called,
            "layout": "NHWC" if options.takes_bytes else "NCHW",
            "channels": "RGB",
            "dtype": "uint8" if options.takes_bytes else "float32",
            "range": [0, 255],
            "normalisation": "inside the model",
            "size": options.input_size,
            "padding": "right and below with RGB 123, 117, 104 to the size, or to multiples of pad_multiple",
        },
        "outputs": [
            {"name": given, "what": key, "shape": meaning}
            for given, (key, meaning) in zip(puts_out, outputs.items(), strict=True)
        ],
        "strides": config.strides,
        "prior_sizes": config.prior_sizes,
        "variances": config.variances,
        "pad_multiple": PAD_MULTIPLE,
        "thresholds": {
            "score": options.score_threshold,
            "iou": options.iou_threshold,
            "max_detections": options.max_detections,
        },
        "files": {
            str(file.relative_to(folder.parent)): sha256(file)
            for folder in files
            for file in (sorted(p for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else [folder])
        },
        "versions": versions(),
    }


def _float_layers(options: Options) -> list[str] | None:
    if options.precision != "int8":
        return None
    return list(options.stays_float)


def _size(path: Path) -> int:
    return (
        sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        if path.is_dir()
        else path.stat().st_size
    )
