"""Parquet of pictures: a column with their bytes, or with paths to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from featherface.batch import files
from featherface.batch.units import Load, Unit, failing
from featherface.errors import DataError

_USUAL = ("image", "bytes", "jpg", "png", "webp", "content", "path", "file_name", "url")
_NAMES = ("path", "file_name", "__key__", "id")
_A_FEW = 16


def parquet_units(path: str, column: str | None, most: int) -> Iterator[Unit]:
    """Row groups of at most `most` rows; larger ones are cut. DataError when no column holds pictures."""
    with files.parquet(path) as content:
        picture_column(content.schema_arrow, path, column)
        row = 0
        for group in range(content.num_row_groups):
            end = row + content.metadata.row_group(group).num_rows
            while row < end:
                stop = min(end, row + most)
                yield Unit(path, row, stop, stop - row)
                row = stop


def parquet_pictures(unit: Unit, column: str | None) -> Iterator[tuple[str, Load]]:
    """The rows `start` to `stop`, named by their path, or else `<file>#<row>`. DataError for a broken file."""
    with files.parquet(unit.path) as content:
        schema = content.schema_arrow
        chosen = picture_column(schema, unit.path, column)
        label = next((n for n in _NAMES if n in schema.names and n != chosen and _is_text(schema, n)), None)
        start = unit.start or 0
        stop = content.metadata.num_rows if unit.stop is None else unit.stop
        groups, row = _groups(content.metadata, start, stop)
        wanted = [chosen] if label is None else [chosen, label]
        for batch in content.iter_batches(_A_FEW, row_groups=groups, columns=wanted, use_threads=False):
            for values in batch.to_pylist():
                if start <= row < stop:
                    yield _picture(values[chosen], values.get(label), f"{unit.path}#{row}")
                row += 1
            if row >= stop:
                return


def picture_column(schema: Any, path: str, column: str | None) -> str:
    """The column of pictures: bytes, text, or a struct with `bytes` or `path`. DataError when there is none."""
    for name in [column] if column else _USUAL:
        if name in schema.names:
            kind = schema.field(name).type
            fields = (
                {kind.field(i).name for i in range(kind.num_fields)} if pa.types.is_struct(kind) else set()
            )
            if _is_bytes(kind) or _is_text(schema, name) or fields & {"bytes", "path"}:
                return name
    wanted = f"a column {column!r}" if column else "a column such as `image`, `bytes` or `path` (--column)"
    raise DataError(f"{path}: no pictures: needs {wanted} of bytes or text; has {', '.join(schema.names)}")


def _groups(metadata: Any, start: int, stop: int) -> tuple[list[int], int]:
    """The row groups that hold rows `start` to `stop`, and the first row of the first of them."""
    groups: list[int] = []
    first = row = 0
    for group in range(metadata.num_row_groups):
        end = row + metadata.row_group(group).num_rows
        if row < stop and end > start:
            first = first if groups else row
            groups.append(group)
        row = end
    return groups, first


def _picture(value: Any, label: str | None, place: str) -> tuple[str, Load]:
    if isinstance(value, dict):
        label = label or value.get("path")
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        return value, lambda: files.read(value)
    name = label or place
    if value is None:
        return name, failing(DataError(f"{name}: no picture in this row"))
    return name, lambda: bytes(value)


def _is_bytes(kind: Any) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(schema: Any, name: str) -> bool:
    kind = schema.field(name).type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
