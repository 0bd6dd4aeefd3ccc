"""What a run has to do, and what is done: the plan, kept beside the output.

    OUTPUT/_manifest.json         the source, the model and the options of the run; counts of the shards done
    OUTPUT/_model.onnx            the model, from which every worker loads it
    OUTPUT/_plan-000000.parquet   the units of shards 0, 1, ...; row group k belongs to shard 0 + k
    OUTPUT/_plan-000064.parquet   shards 64, 65, ...: the next ones, or pictures that came to the source later
    OUTPUT/part-000000.parquet    the rows of shard 0; it is there when, and only when, the shard is done
    OUTPUT/_started/000001        somebody began shard 1 and has not finished it
    OUTPUT/_lock                  a run is writing (see `lock`)

A plan is never changed, so a shard holds the same pictures in every run. Relative paths in it are relative to the
folder in which the first run was started, wherever later ones are. A plan file holds some 1000 shards at most, since
whoever reads one shard needs the file's footer, which grows with all of them. What is done is told by the parts
themselves; the manifest repeats their counts so that a later run need not open each of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from itertools import count as count_from
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from featherface.batch import files
from featherface.batch.manifest import MANIFEST, Identity, write_manifest
from featherface.batch.sources import list_files, units
from featherface.batch.units import Unit
from featherface.errors import DataError

_PLAN = re.compile(r"_plan-(\d{6,})\.parquet")
_PART = re.compile(r"part-(\d{6,})\.parquet")
_SHARD_SIZE = 1000
_SHARDS = 64
_SHARDS_A_FILE = 1000
_PLAN_SCHEMA = pa.schema(
    [("path", pa.string()), ("start", pa.int64()), ("stop", pa.int64()), ("count", pa.int64())]
)


@dataclass(frozen=True)
class Shard:
    """One part of the output, and where its units are written down."""

    number: int
    plan: str
    row_group: int
    redo: bool = False
    """Do it although its part is there; that one stays until the new one is whole."""

    @property
    def part(self) -> str:
        """The file that holds its rows."""
        return f"part-{self.number:06d}.parquet"


def extend_plan(output: str, identity: Identity, shard_size: int | None) -> list[Shard]:
    """All shards. Files of the source that no plan knows yet get shards of their own.

    The driver remembers a digest, about a hundred bytes, of each file while it lists. DataError for a source
    that is empty or cannot be listed.
    """
    shards = list(_planned(output))
    known = {_digest(path) for path in _planned_paths(output)}
    fresh = _fresh(identity, output, known)
    sized = _sized(fresh, shard_size)
    first = next(sized, None)
    if first is None:
        if not shards:
            raise DataError(f"{identity.named}: holds no pictures")
        return shards
    if not files.exists(output, MANIFEST):
        write_manifest(output, identity, {})
    number = shards[-1].number + 1 if shards else 0
    for content in _files_of(chain([first], sized)):
        shards += _write_plan(output, number, content)
        number = shards[-1].number + 1
    return shards


class Plans:
    """The plan as a worker reads it; a file of it stays open until a shard of another comes: its footer is large."""

    def __init__(self, output: str) -> None:
        self.output = output
        self._name = ""
        self._file: Any = None
        self._stack = ExitStack()

    def units(self, shard: Shard) -> list[Unit]:
        """What a shard is made of."""
        if shard.plan != self._name:
            self._stack.close()
            self._file = self._stack.enter_context(_opened(self.output, shard.plan))
            self._name = shard.plan
        with files.readable(files.join(self.output, shard.plan)):
            rows = self._file.read_row_group(shard.row_group, use_threads=False).to_pylist()
        return [Unit(**row) for row in rows]


def parts(output: str) -> set[int]:
    """The numbers of the shards that are done."""
    return {int(found[1]) for name in files.names(output) if (found := _PART.fullmatch(name))}


def _planned(output: str) -> Iterator[Shard]:
    for name, first in _plan_files(output):
        with _opened(output, name) as plan:
            count = plan.num_row_groups
        yield from (Shard(first + i, name, i) for i in range(count))


def _planned_paths(output: str) -> Iterator[str]:
    for name, _ in _plan_files(output):
        with _opened(output, name) as plan:
            for batch in plan.iter_batches(columns=["path"], use_threads=False):
                yield from batch.column(0).to_pylist()


@contextmanager
def _opened(output: str, name: str) -> Iterator[Any]:
    place = files.join(output, name)
    with files.parquet(place) as plan:
        if not plan.schema_arrow.equals(_PLAN_SCHEMA):
            raise DataError(f"{place}: not a plan of featherface batch")
        yield plan


def _plan_files(output: str) -> list[tuple[str, int]]:
    found = (_PLAN.fullmatch(name) for name in files.names(output))
    return sorted(((f[0], int(f[1])) for f in found if f), key=lambda named: named[1])


def _fresh(identity: Identity, output: str, known: set[bytes]) -> Iterator[Unit]:
    for path in list_files(identity.named, identity.folder, output):
        digest = _digest(path)
        if digest in known:
            continue
        known.add(digest)
        try:
            yield from units(path, identity.folder, identity.column, _SHARD_SIZE)
        except DataError:
            if path == identity.named:
                raise
            # One foreign file among many becomes a row that says so.
            yield Unit(path)


def _files_of(shards: Iterator[list[Unit]]) -> Iterator[Iterator[list[Unit]]]:
    """Shards by the plan file that they go to. Nothing that was cut is spread over two of those.

    A run that ends between two plan files would otherwise take the half of a tar that is planned for the whole.
    """
    held: list[list[Unit]] = list(islice(shards, 1))

    def one_file() -> Iterator[list[Unit]]:
        for count in count_from(1):
            current = held.pop()
            held.extend(islice(shards, 1))
            yield current
            if not held or (count >= _SHARDS_A_FILE and held[0][0].path != current[-1].path):
                return

    while held:
        yield one_file()


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
