"""The cache of decoded pictures: broken ones are named before the training, old ones make room for new ones."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from featherface.errors import ConfigError, ImageError
from featherface.train.cache import ImageCache

SIDE = 40
KEPT = SIDE * SIDE * 3 + 128
"""Bytes of one kept picture."""


def draw(folder, *names):
    """Pictures of one grey each; those called `broken...` hold half of one."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.png" for name in names]
    for path in paths:
        shade = sum(path.stem.encode()) % 256
        data = cv2.imencode(".png", np.full((SIDE, SIDE, 3), shade, np.uint8))[1].tobytes()
        path.write_bytes(data[: len(data) // 2] if path.stem.startswith("broken") else data)
    return paths


def cache_of(tmp_path, pictures):
    """A cache with room for so many pictures."""
    return ImageCache(tmp_path / "cache", pictures * KEPT / 1e9 + 1e-9)


def kept(cache, paths):
    return "".join(p.stem for p in paths if cache._place(p).is_file())


def fill(cache, paths, age=0):
    """Prepare, as it was `age` seconds ago."""
    told = []
    assert cache.prepare(paths, lambda: told.append(1)) == [] and len(told) == len(paths)
    for path in paths:
        if cache._place(path).is_file():
            os.utime(cache._place(path), (time.time() - age,) * 2)


@pytest.mark.parametrize(
    ("room", "why"),
    [(0, "no cache"), (1, "full before the broken ones"), (9, "room for all")],
)
def test_broken_pictures_are_named_whatever_fits(room, why, tmp_path):
    paths = [*draw(tmp_path, "a", "b", "broken1", "c", "broken2"), tmp_path / "gone.png"]
    cache = cache_of(tmp_path, room) if room else ImageCache(tmp_path / "cache", 0)
    for _ in range(2):  # also when a training is resumed
        told: list[int] = []
        broken = cache.prepare(paths, lambda told=told: told.append(1))
        assert [line.split(":")[0] for line in broken] == [str(paths[i]) for i in (2, 4, 5)], why
        assert len(told) == len(paths)
    assert (tmp_path / "cache").exists() == bool(room), "with no cache nothing is written"
    with pytest.raises(ImageError, match="gone"):
        cache.read(paths[-1])


@pytest.mark.parametrize(
    ("room", "before", "now", "stay", "why"),
    [
        (4, ["ab"], "cd", "abcd", "there is room"),
        (3, ["a", "b"], "cd", "bcd", "the one used longest ago goes"),
        (3, ["a", "b", "a"], "cd", "acd", "used again is used last"),
        (2, ["ab"], "cd", "cd", "both go"),
        (3, ["ab"], "bcd", "bcd", "what this training needs stays, however old"),
        (2, ["ab"], "bcd", "bc", "its own pictures never push each other out"),
        (2, ["ab"], "ab", "ab", "nothing is written, nothing goes"),
        (2, ["ab"], "bcc", "bc", "a picture named twice is kept once"),
    ],
)
def test_the_oldest_make_room(room, before, now, stay, why, tmp_path):
    all_of = {p.stem: p for p in draw(tmp_path, *"abcd")}
    cache = cache_of(tmp_path, room)
    for i, names in enumerate(before):
        fill(cache, [all_of[name] for name in names], age=1000 - i)
    # One thread: which of two that are read at once comes first to the last place is anyone's guess.
    assert cache.prepare([all_of[name] for name in now], lambda: None, threads=1) == []
    assert kept(cache, all_of.values()) == stay, why
    assert sum(f.stat().st_size for f in cache.folder.iterdir()) <= cache.limit
    for path in all_of.values():  # kept or not, the picture is the same
        assert (cache.read(path) == sum(path.stem.encode()) % 256).all()


def test_a_damaged_file_is_decoded_again(tmp_path):
    (path,) = draw(tmp_path, "a")
    cache = cache_of(tmp_path, 2)
    fill(cache, [path])
    for content in (b"", b"\x93NUMPY", cache._place(path).read_bytes()[:200]):
        cache._place(path).write_bytes(content)
        assert cache.read(path).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("where", ["a file", "below a file"])
def test_a_place_that_cannot_be_a_cache_is_one_line(tmp_path, where):
    paths = draw(tmp_path, "a")
    (tmp_path / "file").write_bytes(b"")
    folder = tmp_path / "file" if where == "a file" else tmp_path / "file" / "cache"
    with pytest.raises(ConfigError, match=r"data\.cache_dir: .*file.*: cannot be written"):
        ImageCache(folder, 1.0).prepare(paths, lambda: None)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("featherface.train.cache.np.save", full)
    with pytest.raises(ConfigError, match=r"no space left on device\); data\.cache_gb = 0 does without"):
        cache_of(tmp_path, 2).prepare(draw(tmp_path, "a"), lambda: None)


def test_a_picture_that_cannot_fit_evicts_nothing(tmp_path):
    old, new = draw(tmp_path, *"ab")
    cv2.imwrite(str(new), np.zeros((4 * SIDE, SIDE, 3), np.uint8))
    cache = cache_of(tmp_path, 2)
    fill(cache, [old])
    fill(cache, [new])
    assert kept(cache, [old, new]) == "a"


@pytest.mark.parametrize("gone", ["evicted", "opened before", "between look and load"])
def test_eviction_under_a_running_training(gone, tmp_path, monkeypatch):
    ours, theirs = draw(tmp_path, *"ab")
    cache = cache_of(tmp_path, 1)
    fill(cache, [ours], age=100)
    opened = cache.read(ours)
    assert isinstance(opened, np.memmap)
    if gone == "between look and load":
        load = np.load

        def slow_load(place, **options):
            Path(place).unlink()
            return load(place, **options)

        monkeypatch.setattr(np, "load", slow_load)
    else:
        cache_of(tmp_path, 1).prepare([theirs], lambda: None)
        assert kept(cache, [ours, theirs]) == "b"
    seen = opened if gone == "opened before" else cache.read(ours)
    assert (seen == ord("a")).all()


def test_temporary_files_of_others(tmp_path):
    """A process that writes has its file for a moment; one that was killed has left it for good."""
    paths = draw(tmp_path, *"ab")
    cache = cache_of(tmp_path, 2)
    cache.folder.mkdir()
    young, left = cache.folder / ".0123.x.npy", cache.folder / ".4567.y.npy"
    for file in (young, left):
        file.write_bytes(b"0" * KEPT)
    os.utime(left, (time.time() - 86_400,) * 2)
    fill(cache, paths)
    assert kept(cache, paths) == "ab", "a file in the making takes no room"
    assert young.exists() and not left.exists()


def test_files_that_vanish_while_they_are_counted(tmp_path, monkeypatch):
    paths = draw(tmp_path, *"ab")
    cache = cache_of(tmp_path, 9)
    fill(cache, paths)
    glob = Path.glob
    monkeypatch.setattr(
        Path, "glob", lambda self, pattern: [*glob(self, pattern), self / ".12.z.npy", self / "34.npy"]
    )
    fill(cache, paths)


def test_two_processes_prepare_one_folder_at_once(tmp_path):
    """Threads stand for the processes that torchrun starts: each has its own cache on the same folder."""
    paths = draw(tmp_path, *(f"p{i}" for i in range(80)))
    errors = []

    def prepare():
        try:
            errors.extend(cache_of(tmp_path, 200).prepare(paths, lambda: None))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and len(list((tmp_path / "cache").iterdir())) == len(paths)


def test_two_trainings_that_fill_one_folder_keep_to_its_limit(tmp_path):
    """The other begins and ends while ours fills: what it kept counts, and makes room like anything else."""
    ours = draw(tmp_path / "ours", *(f"p{i}" for i in range(200)))
    theirs = draw(tmp_path / "theirs", *(f"q{i}" for i in range(60)))
    cache, told = cache_of(tmp_path, 210), []

    def progress():
        told.append(1)
        if len(told) == 10:
            assert cache_of(tmp_path, 210).prepare(theirs, lambda: None) == []

    assert cache.prepare(ours, progress) == []
    assert kept(cache, ours) == "".join(p.stem for p in ours)
    assert kept(cache, theirs).count("q") == 10
