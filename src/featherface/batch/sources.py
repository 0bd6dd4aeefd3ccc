"""What the user named, as files; files, as units of work; units, as pictures.

A folder, a glob, a text file of paths, a Parquet file, a tar, a picture, or the URL of one: each file is
taken for what its suffix says, so a source may mix them. A text file names one file a line.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from featherface.batch import files
from featherface.batch.places import inside, under
from featherface.batch.units import Load, Unit, failing, is_picture
from featherface.errors import DataError, reason_of

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
PARQUET_SUFFIXES = (".parquet", ".pq")
LIST_SUFFIXES = (".txt", ".lst")


def list_files(source: str, folder: str, output: str) -> Iterator[str]:
    """The files of a source, as the user would name them in `folder`; those under `output` are left out.

    DataError, of one line, when the source cannot be listed.
    """
    own = inside(output, folder)
    if source.lower().endswith(LIST_SUFFIXES):
        found = _lines(under(folder, source))
    else:
        found = _remote(source) if files.is_url(source) else _local(source, folder)
    return (path for path in found if not own(path))


def units(path: str, folder: str, column: str | None, most: int) -> Iterator[Unit]:
    """The parts of a file, of about `most` pictures each. DataError for Parquet without pictures."""
    found: Iterator[Unit]
    if path.lower().endswith(PARQUET_SUFFIXES):
        from featherface.batch.parquet import parquet_units

        found = parquet_units(under(folder, path), column, most)
    elif path.lower().endswith(TAR_SUFFIXES):
        from featherface.batch.tars import tar_units

        found = tar_units(under(folder, path), most)
    else:
        yield Unit(path)
        return
    for unit in found:
        yield replace(unit, path=path)


def pictures(unit: Unit, column: str | None) -> Iterator[tuple[str, Load]]:
    """Each picture of a unit: its name, and how to get its bytes. A unit that breaks ends in a failing one."""
    path = unit.path
    if path.lower().endswith(PARQUET_SUFFIXES):
        from featherface.batch.parquet import parquet_pictures

        found = parquet_pictures(unit, column)
    elif path.lower().endswith(TAR_SUFFIXES):
        from featherface.batch.tars import tar_pictures

        found = tar_pictures(unit)
    else:
        yield path, lambda: files.read(path)
        return
    try:
        yield from found
    except DataError as error:
        yield path, failing(error)


def _is_source(name: str) -> bool:
    return is_picture(name) or name.lower().endswith(TAR_SUFFIXES + PARQUET_SUFFIXES)


def _lines(source: str) -> Iterator[str]:
    with files.opened(source) as handle:
        for number, line in enumerate(handle, 1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise DataError(f"{source}: line {number} is not UTF-8 text") from error
            if text:
                yield text


def _local(source: str, folder: str) -> Iterator[str]:
    path = Path(folder, source)
    if path.is_dir():
        yield from _walk(source, folder)
    elif glob.has_magic(source) and not path.exists():
        found = glob.glob(source, root_dir=folder, recursive=True)  # noqa: PTH207
        yield from sorted(name for name in found if Path(folder, name).is_file())
    elif not path.exists():
        raise DataError(f"{source}: no such file or directory")
    else:
        yield source


def _walk(source: str, folder: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: {reason_of(error)}") from error

    top = under(folder, source)
    for root, folders, here in os.walk(top, onerror=refuse):
        folders.sort()
        shown = source + root[len(top) :]
        yield from (os.path.normpath(os.path.join(shown, name)) for name in sorted(here) if _is_source(name))  # noqa: PTH118


def _remote(source: str) -> Iterator[str]:
    system, path = files.filesystem(source)
    with files.named(source):
        found: Iterator[str]
        if glob.has_magic(source):
            # What a listing says of a name needs no request for each.
            matched = system.glob(path, detail=True)
            found = (name for name in sorted(matched) if matched[name]["type"] != "directory")
        elif _is_source(source) and not system.isdir(path):
            found = iter([path])
        else:
            system.ls(path)  # a bucket that is not there, or not ours, says so here
            walked = system.walk(path, on_error="raise")
            found = (f"{root}/{n}" for root, _, here in walked for n in sorted(here) if _is_source(n))
        for name in found:
            yield str(system.unstrip_protocol(name))
