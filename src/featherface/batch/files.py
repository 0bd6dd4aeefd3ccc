"""Files of this machine and of object stores behind one small door; every failure is one line naming the file.

A place is a local path or a URL that fsspec knows (`s3://`, `gs://`, `hf://`, ...). A file is either whole
or not there: local ones are renamed into place, others are uploaded under a temporary name and moved.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from featherface.atomic import atomic_path
from featherface.errors import DataError, FeatherFaceError, one_line, reason_of

_TEMPORARY = "_temporary"
_PIECE = 1 << 20


def is_url(place: str) -> bool:
    """Whether fsspec has to open it."""
    return "://" in place


def filesystem(place: str) -> tuple[Any, str]:
    """The file system of a URL, which remembers no listings, and the path in it."""
    with named(place):
        system, path = fsspec.core.url_to_fs(place, use_listings_cache=False)
        return system, str(path)


@contextmanager
def named(place: str) -> Iterator[None]:
    """Turns whatever a file system raises into a DataError of one line that names the place."""
    try:
        yield
    except FeatherFaceError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"{place}: no such file or directory") from error
    except PermissionError as error:
        raise DataError(f"{place}: permission denied") from error
    except OSError as error:
        number = None if is_url(place) else error.errno
        reason = os.strerror(number).lower() if number else one_line(error)
        raise DataError(f"{place}: {reason}") from error
    except Exception as error:  # each of fsspec's back ends has errors of its own
        raise DataError(f"{place}: {one_line(error)}") from error


def join(folder: str, name: str) -> str:
    """A name in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def read(place: str) -> bytes:
    """A whole file."""
    with named(place):
        if not is_url(place):
            return Path(place).read_bytes()
        system, path = filesystem(place)
        # S3's would ask for the size first, to fetch in pieces: two requests, each paid for, for a small picture.
        options = {"max_concurrency": 1} if "s3" in system.protocol else {}
        return bytes(system.cat_file(path, **options))


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    """A file that can be sought in."""
    with named(place):
        if is_url(place):
            system, path = filesystem(place)
            handle = system.open(path, "rb")
        else:
            handle = Path(place).open("rb")  # noqa: SIM115
    with handle:
        yield handle


@contextmanager
def parquet(place: str) -> Iterator[Any]:
    """A Parquet file, read in the thread that asks; DataError when it is none.

    Arrow's own reading threads (pre-buffering) now and then abort a process that ends while they start.
    """
    with opened(place) as handle, readable(place):
        # Local files in pieces: a row group of pictures as a whole may be as large as the memory. A store's come
        # in as few requests as can be.
        buffer = 0 if is_url(place) else _PIECE
        yield pq.ParquetFile(handle, pre_buffer=False, buffer_size=buffer)


@contextmanager
def readable(place: str) -> Iterator[None]:
    """Turns what Arrow raises on reading into a DataError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{place}: not readable Parquet ({one_line(error)})") from error


def names(folder: str) -> set[str]:
    """The names of what lies in a folder; none when there is no such folder."""
    with named(folder):
        if not is_url(folder):
            return set(os.listdir(Path(folder))) if Path(folder).is_dir() else set()  # noqa: PTH208
        system, path = filesystem(folder)
        try:
            return {str(name).rstrip("/").rsplit("/", 1)[-1] for name in system.ls(path, detail=False)}
        except FileNotFoundError:
            return set()


@contextmanager
def writing(folder: str, name: str) -> Iterator[Path]:
    """Yields a local path to write; on success its content is `name` in the folder, at once and whole."""
    place = join(folder, name)
    with named(place):
        if not is_url(folder):
            with atomic_path(Path(place)) as path:
                yield path
                _on_disk(path)
            with suppress(PermissionError):  # a folder that may be written and not listed
                _on_disk(Path(folder))
            return
        with temporary_folder() as own:
            path = own / name
            yield path
            system, target = filesystem(place)
            passing = join(filesystem(join(folder, _TEMPORARY))[1], f"{uuid.uuid4().hex}-{name}")
            system.makedirs(passing.rsplit("/", 1)[0], exist_ok=True)
            system.put_file(str(path), passing)
            system.mv(passing, target)


def _on_disk(path: Path) -> None:
    """Until the disk has it: a name that survives a power cut without its content would count as done."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that has no such thing
            raise
    finally:
        os.close(handle)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of this machine, for a while. DataError when there is no room for one."""
    try:
        own = tempfile.TemporaryDirectory(prefix="featherface-")
    except OSError as error:
        raise DataError(
            f"no room for temporary files ({reason_of(error)}); name another folder by TMPDIR"
        ) from error
    with own as folder:
        yield Path(folder)


def write(folder: str, name: str, data: bytes) -> None:
    """A file with this content, at once and whole."""
    with writing(folder, name) as path:
        path.write_bytes(data)


def exists(folder: str, name: str) -> bool:
    """Whether there is such a file."""
    place = join(folder, name)
    with named(place):
        if not is_url(folder):
            return Path(place).exists()
        system, path = filesystem(place)
        return bool(system.exists(path))


def touch(folder: str, name: str, content: bytes = b"") -> None:
    """A small file, empty unless told otherwise, by as few requests as can be."""
    place = join(folder, name)
    with named(place):
        if is_url(folder):
            system, path = filesystem(place)
            system.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            system.pipe_file(path, content)
        else:
            Path(folder).mkdir(parents=True, exist_ok=True)
            Path(place).write_bytes(content)


def remove(folder: str, name: str) -> None:
    """Away with a file, if it is there."""
    place = join(folder, name)
    with named(place):
        if not is_url(folder):
            Path(place).unlink(missing_ok=True)
            return
        system, path = filesystem(place)
        with suppress(FileNotFoundError):
            system.rm_file(path)


def sweep(folder: str, below: str) -> None:
    """Removes a folder `below`, and what killed processes left half written."""
    with named(folder):
        if not is_url(folder):
            shutil.rmtree(Path(folder, below), ignore_errors=True)
            for left in Path(folder).glob(".[p_]*"):
                left.unlink(missing_ok=True)
            return
        for name in (below, _TEMPORARY):
            system, path = filesystem(join(folder, name))
            with suppress(FileNotFoundError):
                system.rm(path, recursive=True)
