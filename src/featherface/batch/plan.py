"""What a run is, what it has to do, and what is done: the manifest and the plan, kept beside the output.

    OUTPUT/_manifest.json         the source, the model and the options of the run; counts of the shards done
    OUTPUT/_model.onnx            the model, from which every worker loads it
    OUTPUT/_plan-000000.parquet   the units of shards 0, 1, ...; row group k belongs to shard 0 + k
    OUTPUT/_plan-000064.parquet   shards 64, 65, ...: pictures that came to the source later
    OUTPUT/part-000000.parquet    the rows of shard 0; it is there when, and only when, the shard is done
    OUTPUT/_started/000001        somebody began shard 1 and has not finished it

A plan is never changed, so a shard holds the same pictures in every run. What is done is told by the parts
themselves; the manifest repeats their counts so that a later run need not open each of them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featherface.batch import files
from featherface.batch.sources import list_files, units
from featherface.batch.units import Unit
from featherface.errors import DataError

MANIFEST = "_manifest.json"
_PLAN = re.compile(r"_plan-(\d{6,})\.parquet")
_PART = re.compile(r"part-(\d{6,})\.parquet")
_SHARD_SIZE = 1000
_SHARDS = 64
_PLAN_SCHEMA = pa.schema(
    [("path", pa.string()), ("start", pa.int64()), ("stop", pa.int64()), ("count", pa.int64())]
)


@dataclass(frozen=True)
class Shard:
    """One part of the output, and where its units are written down."""

    number: int
    plan: str
    row_group: int

    @property
    def part(self) -> str:
        """The file that holds its rows."""
        return f"part-{self.number:06d}.parquet"


@dataclass(frozen=True)
class Identity:
    """What must be the same in every run that writes to one output."""

    source: str
    column: str | None
    model: str
    model_sha256: str
    options: dict[str, Any]


def check_identity(output: str, identity: Identity) -> dict[str, dict[str, Any]]:
    """The counts of the shards that the manifest knows. DataError when the output belongs to something else."""
    found = files.names(output)
    if MANIFEST not in found:
        foreign = sorted(name for name in found if not name.startswith(("_", ".")))
        if foreign:
            raise DataError(f"{output}: holds {foreign[0]}, but no {MANIFEST}; name an empty folder")
        return {}
    place = files.join(output, MANIFEST)
    try:
        manifest = json.loads(files.read(place))
        before, done = manifest["run"], manifest["done"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place}: not a manifest of featherface batch ({error})") from error
    for key, now in json.loads(json.dumps(asdict(identity))).items():
        if key != "model" and before.get(key) != now:
            raise DataError(f"{output}: holds rows of another run ({_difference(key, before, now)})")
    return dict(done)


def write_manifest(output: str, identity: Identity, done: dict[str, dict[str, Any]]) -> None:
    """What the run is, and the counts of what is done."""
    content = {"format": 1, "run": asdict(identity), "done": dict(sorted(done.items()))}
    files.write(output, MANIFEST, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def extend_plan(output: str, identity: Identity, shard_size: int | None) -> list[Shard]:
    """All shards. Files of the source that no plan knows yet get shards of their own.

    The driver remembers a digest, about a hundred bytes, of each file while it lists. DataError for a source
    that is empty or cannot be listed.
    """
    shards = list(_planned(output))
    known = {_digest(unit.path) for shard in shards for unit in read_units(output, shard)}
    fresh = _fresh(identity, output, known)
    sized = _sized(fresh, shard_size)
    first = next(sized, None)
    if first is None:
        if not shards:
            raise DataError(f"{identity.source}: holds no pictures")
        return shards
    if not files.exists(output, MANIFEST):
        write_manifest(output, identity, {})
    number = shards[-1].number + 1 if shards else 0
    return shards + _write_plan(output, number, chain([first], sized))


def _difference(key: str, before: dict[str, Any], now: Any) -> str:
    was = before.get(key)
    if key == "model_sha256":
        return f"model {before.get('model')}, sha256 {str(was)[:12]}, not {now[:12]}"
    if isinstance(was, dict):
        key = next(name for name in was | now if was.get(name) != now.get(name))
        was, now = was.get(key), now.get(key)
    return f"{key} {was}, not {now}"


def read_units(output: str, shard: Shard) -> list[Unit]:
    """What a shard is made of."""
    with files.parquet(files.join(output, shard.plan)) as plan:
        rows = plan.read_row_group(shard.row_group, use_threads=False).to_pylist()
    return [Unit(**row) for row in rows]


def parts(output: str) -> set[int]:
    """The numbers of the shards that are done."""
    return {int(found[1]) for name in files.names(output) if (found := _PART.fullmatch(name))}


def _planned(output: str) -> Iterator[Shard]:
    for name in sorted(files.names(output)):
        if found := _PLAN.fullmatch(name):
            with files.parquet(files.join(output, name)) as plan:
                count = plan.num_row_groups
            yield from (Shard(int(found[1]) + i, name, i) for i in range(count))


def _fresh(identity: Identity, output: str, known: set[bytes]) -> Iterator[Unit]:
    for path in list_files(identity.source, output):
        digest = _digest(path)
        if digest in known:
            continue
        known.add(digest)
        try:
            yield from units(path, identity.column, _SHARD_SIZE)
        except DataError:
            if path == identity.source:
                raise
            # One foreign file among many becomes a row that says so.
            yield Unit(path)


def _sized(fresh: Iterator[Unit], shard_size: int | None) -> Iterator[list[Unit]]:
    """Units in shards: of `shard_size`, or small enough that a small source makes about 64 of them."""
    head: list[Unit] = []
    weight = 0
    for unit in fresh:
        head.append(unit)
        weight += _weight(unit)
        if shard_size or weight >= _SHARDS * _SHARD_SIZE:
            break
    size = shard_size or min(_SHARD_SIZE, max(8, -(-weight // _SHARDS)))
    shard: list[Unit] = []
    weight = 0
    for unit in chain(head, fresh):
        if shard and weight + _weight(unit) > size:
            yield shard
            shard, weight = [], 0
        shard.append(unit)
        weight += _weight(unit)
    if shard:
        yield shard


def _weight(unit: Unit) -> int:
    return _SHARD_SIZE if unit.count is None else unit.count


def _write_plan(output: str, number: int, shards: Iterable[list[Unit]]) -> list[Shard]:
    name = f"_plan-{number:06d}.parquet"
    written = []
    with files.writing(output, name) as path, pq.ParquetWriter(path, _PLAN_SCHEMA) as writer:
        for index, content in enumerate(shards):
            # Column by column: `asdict` of every unit would be half of the driver's time.
            columns = {key: [getattr(unit, key) for unit in content] for key in _PLAN_SCHEMA.names}
            table = pa.table(columns, _PLAN_SCHEMA)
            writer.write_table(table, row_group_size=len(content))
            written.append(Shard(number + index, name, index))
    return written


def _digest(path: str) -> bytes:
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=16).digest()
