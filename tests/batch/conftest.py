"""Small pictures in every kind of source, and an engine without processes for what is not about engines."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import cv2
import pytest

pytest.importorskip("pyarrow", reason="the batch extra is not installed")
pytest.importorskip("fsspec", reason="the batch extra is not installed")

import pyarrow.parquet as pq

from featherface.batch.run import Request, Summary, run
from featherface.batch.work import start

COUNT = 24


@pytest.fixture(scope="session")
def photos(examples, tmp_path_factory):
    """24 pictures of about 120 pixels in two folders, each with one face, all different."""
    folder = tmp_path_factory.mktemp("source") / "photos"
    for i in range(COUNT):
        name = "eileen_collins.jpg" if i % 2 else "grace_hopper.jpg"
        picture = cv2.imread(str(examples / name))
        height = 110 + 2 * i
        width = round(picture.shape[1] * height / picture.shape[0])
        target = folder / f"{'ab'[i // 12]}" / f"{i:02d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    return folder


@pytest.fixture
def some_photos(photos, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(photos, tmp_path / "photos"))


@pytest.fixture
def batch():
    """Runs in this process."""
    threads = cv2.getNumThreads()

    def go(source, output, **options) -> Summary:
        request = Request(str(source), str(output), **{"shard_size": 5, **options})
        return run(request, lambda job, shards: map(start(job), shards), lambda done, total: None)

    yield go
    cv2.setNumThreads(threads)


def read_rows(output) -> list[dict]:
    """All rows, by path; reads the parts one by one, so a row that is there twice shows."""
    rows = [
        row for part in sorted(Path(output).glob("part-*.parquet")) for row in pq.read_table(part).to_pylist()
    ]
    return sorted(rows, key=lambda row: row["path"])


@pytest.fixture(scope="session")
def rows():
    """Reads an output."""
    return read_rows


def in_the_middle(process, output, shards, chance) -> bool:
    """Wait for a random moment of the work: its seconds differ with what else the machine does, its shards do not."""
    # Left by an earlier kill: not this run's work, and a sign for ever where one shard is all that is missing.
    stale = set(output.glob(".part-*"))
    done = len(list(output.glob("part-*")))
    strike = done + chance.randrange(shards - done)
    while process.poll() is None:
        if len(list(output.glob("part-*"))) >= strike and set(output.glob(".part-*")) - stale:
            time.sleep(chance.uniform(0, 0.1))
            return process.poll() is None
        time.sleep(0.002)
    return False


def halt(pids, output) -> bool:
    """Stop processes, and say whether one of them is in the middle of a shard: it holds its unfinished part open.

    Stopped, so that what is in flight cannot be finished between this look and a kill.
    """
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 10
    while running := [pid for pid in pids if state(pid) not in {"T", "Z", ""}]:
        assert time.monotonic() < end, f"{running} do not stop"
        time.sleep(0.005)
    return any(name.parent == output and "part-" in name.name for pid in pids for name in open_files(pid))


def state(pid) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def open_files(pid) -> list[Path]:
    found = []
    with suppress(OSError):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(handle.readlink())
    return found


def let_go(pids) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="session", name="in_the_middle")
def _in_the_middle():
    """`in_the_middle`: whether the process still runs at that moment."""
    return in_the_middle


@pytest.fixture(scope="session", name="halt")
def _halt():
    """`halt`, and `let_go` for those who live on, or must notice that somebody died."""
    return halt


@pytest.fixture(scope="session", name="let_go")
def _let_go():
    return let_go
