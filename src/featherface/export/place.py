"""Finished files put in place of older ones: all of them or none, and never over a folder of somebody's."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from featherface.errors import FeatherFaceError, reason_of

_PACKAGE = ".mlpackage"


def refuse_folder(target: Path) -> None:
    """FeatherFaceError for a folder where a file is to be, unless it is an older Core ML package.

    Also where that cannot be found out: the name is too long, or a folder above lets nobody look.
    """
    try:
        theirs = target.is_dir() and not (target.suffix == _PACKAGE and (target / "Manifest.json").is_file())
    except OSError as error:
        raise FeatherFaceError(f"{target}: cannot be written ({reason_of(error)})") from error
    if theirs:
        raise FeatherFaceError(f"{target}: is a folder, which is not replaced; nothing was written")


def place(made: Sequence[Path], directory: Path) -> None:
    """Move finished files and packages, which lie in one folder within `directory`, into `directory`.

    What was there under these names returns when a move fails. The last one is the first that an older export
    loses and the last that the new one gets: give the JSON, without which no file is taken for whole.
    """
    for source in made:
        refuse_folder(directory / source.name)
    aside = made[0].parent / "replaced"
    aside.mkdir()
    replaced: list[str] = []
    placed: list[str] = []
    try:
        for source in reversed(made):
            if (directory / source.name).exists():
                (directory / source.name).replace(aside / source.name)
                replaced.append(source.name)
        for source in made:
            source.replace(directory / source.name)
            placed.append(source.name)
    except BaseException:
        for name in placed:
            _remove(directory / name)
        for name in reversed(replaced):
            (aside / name).replace(directory / name)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
