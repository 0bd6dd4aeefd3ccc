"""Tars of pictures, WebDataset's and any other: cut at member boundaries, read front to back.

Python's tarfile takes a damaged header for the end of the archive; here that is an error, since pictures
would be lost without a word.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from featherface.batch import files
from featherface.batch.units import Load, Unit, is_picture
from featherface.errors import DataError

_BLOCK = 512


def tar_units(path: str, most: int) -> Iterator[Unit]:
    """Cuts a local tar into parts of `most` pictures; compressed and remote ones stay whole.

    Finding the members of a remote tar would read nearly all of it once more.
    """
    if files.is_url(path) or not path.lower().endswith(".tar"):
        yield Unit(path, count=None)
        return
    start, count = 0, 0
    try:
        for member in _members(path, 0):
            if count == most:
                yield Unit(path, start, member.offset, count)
                start, count = member.offset, 0
            count += _is_picture(member)
    except DataError:
        # The last part is open-ended: whoever reads it meets the damage, and reports it as a row.
        count += 1
    if count:
        yield Unit(path, start, None, count)


def tar_pictures(unit: Unit) -> Iterator[tuple[str, Load]]:
    """The pictures of a part, named `<tar>/<member>`. DataError where the tar is damaged."""
    with files.opened(unit.path) as handle:
        for member, tar in _walk(handle, unit.path, unit.start or 0):
            if unit.stop is not None and member.offset >= unit.stop:
                return
            if _is_picture(member):
                name = f"{unit.path}/{member.name}"
                with _damage(unit.path):
                    content = tar.extractfile(member)
                    data = content.read() if content else b""
                yield name, _given(data)


def _members(path: str, start: int) -> Iterator[tarfile.TarInfo]:
    with files.opened(path) as handle:
        yield from (member for member, _ in _walk(handle, path, start))


def _walk(handle: BinaryIO, path: str, start: int) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    handle.seek(start)
    packed = not path.lower().endswith(".tar")
    with _damage(path):
        tar = tarfile.open(fileobj=handle, mode="r:gz" if packed else "r:")  # noqa: SIM115
    with tar:
        while True:
            with _damage(path):
                member = tar.next()
            if member is None:
                break
            yield member, tar
            tar.members = []  # type: ignore[attr-defined]  # or it would remember every member
        _check_end(tar, path)


def _check_end(tar: tarfile.TarFile, path: str) -> None:
    with _damage(path):
        assert tar.fileobj is not None
        tar.fileobj.seek(tar.offset - tar.offset % _BLOCK)
        block = tar.fileobj.read(_BLOCK)
    if len(block) < _BLOCK or block.strip(b"\0"):
        raise DataError(f"{path}: damaged or cut short at byte {tar.offset:,}; what follows is lost")


@contextmanager
def _damage(path: str) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: not a whole tar ({str(error) or type(error).__name__})") from error


def _is_picture(member: tarfile.TarInfo) -> bool:
    return member.isfile() and is_picture(member.name)


def _given(data: bytes) -> Load:
    return lambda: data
