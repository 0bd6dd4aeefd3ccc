"""The manifest of an output: which source, model and options it belongs to, and counts of what is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from featherface.batch import files
from featherface.batch.places import resolved
from featherface.errors import DataError

MANIFEST = "_manifest.json"
_FORMAT = 2


@dataclass(frozen=True)
class Counts:
    """What a shard holds."""

    rows: int = 0
    faces: int = 0
    errors: int = 0
    first_error: str | None = None

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.rows + other.rows,
            self.faces + other.faces,
            self.errors + other.errors,
            self.first_error or other.first_error,
        )


@dataclass(frozen=True)
class Identity:
    """What must be the same in every run that writes to one output; `named` and `folder` are the first run's."""

    source: str
    """Without what depends on where one stands."""
    named: str
    """As the user said it; so the pictures are named."""
    folder: str
    """Where the user stood: what relative paths are relative to."""
    column: str | None
    model: str
    model_sha256: str
    options: dict[str, Any]


def check_identity(output: str, identity: Identity) -> tuple[Identity, dict[int, Counts]]:
    """The identity in the first run's words, and the counts of the shards that the manifest knows.

    DataError when the output belongs to something else.
    """
    found = files.names(output)
    if MANIFEST not in found:
        foreign = sorted(name for name in found if not name.startswith(("_", ".")))
        if foreign:
            raise DataError(f"{output}: holds {foreign[0]}, but no {MANIFEST}; name an empty folder")
        return identity, {}
    before, done = _read(files.join(output, MANIFEST))
    now = json.loads(json.dumps(asdict(identity)))
    if resolved(before.source) == resolved(now["source"]):
        now["source"] = before.source
    for key, value in now.items():
        was = getattr(before, key)
        if key not in ("model", "named", "folder") and was != value:
            raise DataError(f"{output}: holds rows of another run ({_difference(key, before, value)})")
    # Where the first run stood may be gone, or on another machine; only relative paths need it.
    folder = before.folder if Path(before.folder).is_dir() else identity.folder
    return replace(identity, source=before.source, named=before.named, folder=folder), done


def write_manifest(output: str, identity: Identity, done: Mapping[int, Counts]) -> None:
    """What the run is, and the counts of what is done."""
    table = {f"{number:06d}": asdict(counts) for number, counts in sorted(done.items())}
    content = {"format": _FORMAT, "run": asdict(identity), "done": table}
    files.write(output, MANIFEST, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def _read(place: str) -> tuple[Identity, dict[int, Counts]]:
    """What a manifest says; DataError where it is not of this form."""
    try:
        content = json.loads(files.read(place))
        number = content["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place}: not a manifest of featherface batch ({error})") from error
    if number != _FORMAT:
        raise DataError(f"{place}: format {number}, not {_FORMAT}; name an empty folder")
    try:
        return _identity(content["run"]), {int(key): _counts(value) for key, value in content["done"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{place}: not a manifest of featherface batch ({error!r})") from error


def _identity(run: dict[str, Any]) -> Identity:
    made = Identity(**run)
    texts = [getattr(made, field.name) for field in fields(made) if field.name not in ("column", "options")]
    if not all(isinstance(text, str) for text in (*texts, made.column or "")):
        raise TypeError("`run` wants text")
    if not isinstance(made.options, dict):
        raise TypeError("`options` must be a table")
    return made


def _counts(part: dict[str, Any]) -> Counts:
    made = Counts(**part)
    if not all(isinstance(count, int) for count in (made.rows, made.faces, made.errors)):
        raise TypeError("`done` wants whole numbers")
    return made


def _difference(key: str, before: Identity, now: Any) -> str:
    was = getattr(before, key)
    if key == "model_sha256":
        return f"model {before.model}, sha256 {was[:12]}, not {now[:12]}"
    if isinstance(was, dict):
        key = next(name for name in was | now if was.get(name) != now.get(name))
        was, now = was.get(key), now.get(key)
    return f"{key} {was}, not {now}"
