"""Decoded pictures kept on disk as memory-mapped arrays: a crop then reads only the rows it shows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface.atomic import atomic_path
from featherface.errors import FeatherFaceError
from featherface.images import read_image

_CHUNK = 64


class ImageCache:
    """Reads pictures as (H, W, 3) uint8 RGB, from the cache where they are kept.

    `prepare` fills it up to its limit; pictures over the limit are decoded whenever they are read. With a
    limit of 0 nothing is written.
    """

    def __init__(self, folder: str | Path, limit_gb: float) -> None:
        self.folder = Path(folder)
        self.limit = int(limit_gb * 1e9)

    def read(self, path: Path) -> NDArray[np.uint8]:
        """The picture; ImageError when it cannot be decoded."""
        kept = self._place(path)
        if self.limit and kept.exists():
            mapped: NDArray[np.uint8] = np.load(kept, mmap_mode="r")
            return mapped
        return read_image(path)

    def prepare(self, paths: Iterable[Path], progress: Callable[[], None], threads: int = 2) -> list[str]:
        """Decode what is missing, in order, until the limit; returns one line for each broken picture."""
        if not self.limit:
            return []
        self.folder.mkdir(parents=True, exist_ok=True)
        used = sum(f.stat().st_size for f in self.folder.glob("*.npy"))
        broken = []
        with ThreadPoolExecutor(threads) as pool:
            for chunk in _chunks(list(paths)):
                if used >= self.limit:
                    break
                for written, error in pool.map(self._fill, chunk):
                    used += written
                    broken += [error] if error else []
                    progress()
        return broken

    def _fill(self, path: Path) -> tuple[int, str]:
        kept = self._place(path)
        if kept.exists():
            return 0, ""
        try:
            image = read_image(path)
        except FeatherFaceError as error:
            return 0, str(error)
        with atomic_path(kept) as temporary, temporary.open("wb") as file:
            np.save(file, image)
        return image.nbytes, ""

    def _place(self, path: Path) -> Path:
        stat = path.stat()
        key = f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"


def _chunks(paths: list[Path]) -> list[list[Path]]:
    return [paths[i : i + _CHUNK] for i in range(0, len(paths), _CHUNK)]
