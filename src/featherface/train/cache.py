"""Decoded pictures kept on disk as memory-mapped arrays: a crop then reads only the rows it shows."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from featherface.atomic import atomic_path
from featherface.errors import ConfigError, FeatherFaceError, ImageError, reason_of
from featherface.images import read_image

_CHUNK = 64
_HEADER = 128
"""Bytes of an .npy file before the pixels."""
_ABANDONED = 3600.0
"""Seconds after which a temporary file belongs to a process that was killed."""


class ImageCache:
    """Reads pictures as (H, W, 3) uint8 RGB, from the cache where they are kept.

    `prepare` fills it up to its limit; pictures over the limit are decoded whenever they are read. With a
    limit of 0 nothing is written. Several processes may share a folder: what one of them evicts, another
    that has it open still sees, and decodes again otherwise. Those that fill it at once may pass the limit by
    some pictures.
    """

    def __init__(self, folder: str | Path, limit_gb: float) -> None:
        self.folder = Path(folder)
        self.limit = int(limit_gb * 1e9)

    def read(self, path: Path) -> NDArray[np.uint8]:
        """The picture; ImageError when it cannot be decoded."""
        if self.limit:
            try:
                mapped: NDArray[np.uint8] = np.load(self._place(path), mmap_mode="r")
                return mapped
            except (OSError, ValueError, EOFError):
                pass  # never kept, or evicted by now, or damaged
        return read_image(path)

    def prepare(self, paths: Iterable[Path], progress: Callable[[], None], threads: int = 2) -> list[str]:
        """Decode every picture that is not kept, and keep it while there is room; a line for each broken one.

        Room is made by evicting pictures that are not among these, those whose last `prepare` is longest ago
        first. Pictures over the limit are decoded too: a broken one must not end a training in its middle.
        ConfigError where the folder cannot be written.
        """
        wanted = list(dict.fromkeys(paths))
        shelf = _Shelf(self.folder, self.limit, self._names(wanted)) if self.limit else None
        broken = []
        with ThreadPoolExecutor(threads) as pool:
            # In chunks, so that Ctrl-C does not wait for all of them.
            for chunk in (wanted[i : i + _CHUNK] for i in range(0, len(wanted), _CHUNK)):
                for error in pool.map(lambda path: self._check(path, shelf), chunk):
                    broken += [error] if error else []
                    progress()
                if shelf is not None:
                    shelf.count_if_changed()
        return broken

    def _check(self, path: Path, shelf: _Shelf | None) -> str:
        """Read one picture, unless it is kept, and keep it when it fits; what is wrong with it, or nothing."""
        try:
            kept = self._place(path)
            if shelf is not None and shelf.holds(kept):
                return ""
            image = read_image(path)
        except FeatherFaceError as error:
            return str(error)
        if shelf is not None and shelf.make_room(kept, image.nbytes + _HEADER):
            with _kept_in(self.folder), atomic_path(kept) as temporary, temporary.open("wb") as file:
                np.save(file, image)
        return ""

    def _names(self, paths: list[Path]) -> set[str]:
        names = set()
        for path in paths:
            try:
                names.add(self._place(path).name)
            except ImageError:
                continue  # said when it is its turn
        return names

    def _place(self, path: Path) -> Path:
        try:
            stat = path.stat()
        except OSError as error:
            raise ImageError(f"{path}: {reason_of(error)}") from error
        key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"data.cache_dir: {folder}: cannot be written ({reason_of(error)}); data.cache_gb = 0 does without"
        ) from error


class _Shelf:
    """What lies in a cache's folder while one `prepare` fills it: how much, and what may go."""

    def __init__(self, folder: Path, limit: int, wanted: set[str]) -> None:
        with _kept_in(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limit, self._wanted = folder, limit, wanted
        self._lock = Lock()
        self.count()

    def count(self) -> None:
        """Look anew at what is there: other processes write and evict, too."""
        self._own: set[str] = set()
        self._own_bytes = self._other_bytes = 0
        self._changed = False
        others: list[tuple[float, int, Path]] = []
        for file in self._folder.glob("*.npy"):
            try:
                stat = file.stat()
            except FileNotFoundError:
                continue  # another process renamed its temporary file, or evicted this one
            if file.name in self._wanted:
                self._own.add(file.name)
                self._own_bytes += stat.st_size
            elif not file.name.startswith(".") or time.time() - stat.st_mtime > _ABANDONED:
                others.append((stat.st_mtime, stat.st_size, file))
                self._other_bytes += stat.st_size
        self._others = sorted(others, reverse=True)

    def count_if_changed(self) -> None:
        """Count again if something was written since: a folder that is only read stays quick."""
        if self._changed:
            self.count()

    def holds(self, kept: Path) -> bool:
        """Whether a wanted picture is kept, and marks it as used; one that another process kept counts from now."""
        try:
            size = kept.stat().st_size
        except FileNotFoundError:
            return False
        with suppress(OSError):  # somebody else's file, or gone this moment: reading decodes it then
            os.utime(kept)
        with self._lock:
            if kept.name not in self._own:
                self._own.add(kept.name)
                self._own_bytes += size
        return True

    def make_room(self, kept: Path, size: int) -> bool:
        """Whether a wanted picture of `size` bytes fits, once others that are not wanted have gone."""
        with self._lock:
            if self._own_bytes + size > self._limit:
                return False  # no eviction would help
            while self._others and self._own_bytes + self._other_bytes + size > self._limit:
                _, freed, file = self._others.pop()
                try:
                    file.unlink(missing_ok=True)
                except OSError:
                    continue  # open on Windows, or somebody else's: it stays, and counts
                self._other_bytes -= freed
            if self._own_bytes + self._other_bytes + size > self._limit:
                return False
            self._own.add(kept.name)
            self._own_bytes += size
            self._changed = True
            return True
