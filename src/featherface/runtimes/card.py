"""The JSON that lies beside an exported model file: what it is, and the checksums of its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from featherface.errors import ModelError, reason_of
from featherface.runtimes.spec import ModelSpec, read_spec

_WITH_WEIGHTS = (".xml", ".param")
"""Networks whose weights are in a .bin beside them."""


def card_path(model: Path) -> Path:
    """Where the JSON of a model file is: its whole name plus `.json`."""
    return model.with_name(f"{model.name}.json")


OPENVINO_ONNX = ".openvino.onnx"
"""What ends the name of an ONNX file in a form that only OpenVINO is quick with."""


def is_openvino(path: str | Path) -> bool:
    """Whether a model file is OpenVINO's."""
    return Path(path).name.lower().endswith((".xml", OPENVINO_ONNX))


def checked_spec(model: Path) -> ModelSpec:
    """The layout from the JSON beside the model, once its files are found to be the ones it names.

    A runtime may crash on a damaged file, so that is ruled out first. ModelError names what is missing,
    foreign or changed.
    """
    path = card_path(model)
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)
        files, decoded = dict(values["files"]), bool(values["with_decode"])
        size = values["input"]["size"]
        fixed = None if size is None else (int(size[0]), int(size[1]))
        as_bytes = values["input"].get("dtype") == "uint8"
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not model.is_file():
            raise ModelError(f"{model}: no such file") from error
        raise ModelError(
            f"{path}: {reason_of(error)}; `featherface export` writes it beside the model"
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{path}: not the JSON that `featherface export` writes ({error})") from error
    if decoded:
        raise ModelError(
            f"{model}: decodes by itself, and so does the detector; export without --with-decode"
        )
    needed = [model.name, *([model.with_suffix(".bin").name] if model.suffix in _WITH_WEIGHTS else [])]
    if missing := [name for name in needed if name not in files]:
        raise ModelError(f"{path}: says nothing of {missing[0]}, so what is there cannot be checked")
    for name, expected in files.items():
        if not isinstance(name, str) or Path(name).name != name or name in ("", ".."):
            raise ModelError(f"{path}: names {name!r} as a file beside the model, which it is not")
        _check(model.with_name(name), expected)
    return read_spec(text, str(path), fixed, as_bytes)


def sha256(path: Path) -> str:
    """The checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(path: Path, expected: str) -> None:
    try:
        found = sha256(path)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        why = "no such file" if gone else reason_of(error)
        raise ModelError(f"{path}: {why}; it belongs to the model") from error
    if found != expected:
        raise ModelError(f"{path}: does not match the sha256 in its JSON; it was changed or cut short")
