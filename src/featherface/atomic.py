"""Files that are either whole or not there: written beside the target, then renamed over it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the target's folder (same suffix); on success it becomes the target.

    The folder is made when missing. On an exception the temporary file is removed and the target, if it
    existed, is left as it was. A link stays a link, and its file becomes the new one; into a pipe or a device the
    content is copied, because one cannot be renamed over.
    """
    path = Path(target)
    if path.is_symlink():
        path = path.resolve()
    if path.exists() and not path.is_file() and not path.is_dir():
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder, f"content{path.suffix}")
            yield temporary
            with temporary.open("rb") as content, path.open("wb") as special:
                shutil.copyfileobj(content, special)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text atomically; of a file name that is not UTF-8 the odd bytes are written as escapes."""
    write_bytes(target, text.encode("utf-8", "backslashreplace"))


def write_bytes(target: str | os.PathLike[str], data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(data)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
