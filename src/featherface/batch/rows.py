"""A picture and its faces as a row, and a shard's rows as one Parquet file with its counts in the footer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featherface.batch import files
from featherface.batch.manifest import Counts
from featherface.batch.plan import Shard
from featherface.detections import Detections
from featherface.errors import DataError
from featherface.images import Image, encode_image

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("boxes", pa.list_(pa.list_(pa.float32()))),
        ("scores", pa.list_(pa.float32())),
        ("landmarks", pa.list_(pa.list_(pa.list_(pa.float32())))),
        ("model_sha256", pa.string()),
        ("error", pa.string()),
    ]
)
"""One row a picture: boxes (N, 4) xyxy and landmarks (N, 5, 2) in pixels; all but path, model and error are
null when there is an error."""
CROPS = pa.field("crops", pa.list_(pa.binary()))
"""The faces, aligned to 112x112, as PNG files."""
_GROUP = 256
_HELD_BYTES = 32 << 20


def found_row(name: str, found: Detections, picture: Image, crops: bool) -> dict[str, Any]:
    """The row of a picture that could be read."""
    row = {
        "path": name,
        "width": found.width,
        "height": found.height,
        "boxes": found.boxes.tolist(),
        "scores": found.scores.tolist(),
        "landmarks": found.landmarks.tolist(),
    }
    return row | {"crops": [encode_image(crop, ".png") for crop in found.crops(picture)]} if crops else row


def error_row(name: str, error: str) -> dict[str, Any]:
    """The row of a picture that could not."""
    return {"path": name, "error": error}


def write_part(
    output: str, shard: Shard, model_sha256: str, crops: bool, rows: Iterable[dict[str, Any]]
) -> Counts:
    """Write a shard's rows as they come; the file appears when all are there."""
    schema = SCHEMA.append(CROPS) if crops else SCHEMA
    counts = Counts()
    waiting: list[dict[str, Any]] = []
    held = 0
    with files.writing(output, shard.part) as path, pq.ParquetWriter(path, schema) as writer:
        for row in rows:
            error = row.get("error")
            counts += Counts(1, len(row.get("scores", ())), error is not None, error)
            waiting.append({**row, "path": _utf8(row["path"]), "model_sha256": model_sha256})
            held += sum(map(len, row.get("crops", ())))
            if len(waiting) == _GROUP or held > _HELD_BYTES:
                writer.write_table(pa.Table.from_pylist(waiting, schema))
                waiting, held = [], 0
        writer.write_table(pa.Table.from_pylist(waiting, schema))
        about = {"rows": counts.rows, "faces": counts.faces, "errors": counts.errors}
        footer = {_key(name): str(value) for name, value in about.items()}
        writer.add_key_value_metadata(footer | {_key("first_error"): counts.first_error or ""})
    return counts


def read_counts(output: str, part: str) -> Counts:
    """What the footer of a shard's file says; DataError for a file of somebody else."""
    place = files.join(output, part)
    try:
        with files.parquet(place) as content:
            metadata = content.metadata.metadata or {}
        rows, faces, errors = (int(metadata[_key(name).encode()]) for name in ("rows", "faces", "errors"))
        return Counts(rows, faces, errors, metadata[_key("first_error").encode()].decode() or None)
    except (KeyError, ValueError) as error:
        raise DataError(f"{place}: not a part that featherface batch wrote") from error


def _key(name: str) -> str:
    return f"featherface.{name}"


def _utf8(path: str) -> str:
    # File names of other encodings hold what UTF-8 cannot say.
    return path.encode("utf-8", "replace").decode()
