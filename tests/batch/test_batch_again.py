"""What a second run finds: errors to do again, a model that is not its own, long plans, another run at work."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import fsspec
import pytest

from featherface.batch import files, plan
from featherface.batch.lock import locked
from featherface.batch.run import Request, run
from featherface.batch.units import Unit
from featherface.batch.work import start
from featherface.errors import DataError

COUNT = 24


def broken(job, shards):
    """An engine that cannot begin, as when a cluster is not reached."""
    raise DataError("the cluster is away")
    yield


def ended(job, shards):
    """An engine that does one shard; then the cluster goes away."""
    yield start(job)(shards[0])
    raise DataError("the cluster is away")


@pytest.mark.long
@pytest.mark.parametrize(
    ("engine", "errors"),
    [pytest.param(broken, 2, id="before it begins"), pytest.param(ended, 1, id="after one shard")],
)
def test_retry_errors_keeps_a_part_until_the_new_one_is_there(
    batch, rows, some_photos, tmp_path, engine, errors
):
    output = tmp_path / "out"
    for folder in "ab":
        (some_photos / folder / "bad.jpg").write_bytes(b"")
    batch(some_photos, output)
    for folder in "ab":
        shutil.copy(some_photos / "a" / "00.jpg", some_photos / folder / "bad.jpg")
    before = rows(output)
    request = Request(str(some_photos), str(output), shard_size=5, retry_errors=True)

    def watched(job, shards):
        assert [shard.redo for shard in shards] == [True, True]
        known = json.loads((output / "_manifest.json").read_text())["done"]
        assert not {f"{shard.number:06d}" for shard in shards} & known.keys(), "the old counts go first"
        yield from engine(job, shards)

    with pytest.raises(DataError, match="the cluster is away"):
        run(request, watched, lambda done, total: None)
    assert [row["path"] for row in rows(output)] == [row["path"] for row in before]
    assert sum(bool(row["error"]) for row in rows(output)) == errors
    assert batch(some_photos, output).counts.errors == errors, "counted anew, not from the manifest"
    assert batch(some_photos, output, retry_errors=True).counts.errors == 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="cut short"),
        pytest.param(lambda data: data + b"\0", id="another file"),
        pytest.param(lambda data: None, id="gone"),
    ],
)
def test_the_model_beside_the_output_is_that_of_the_run(batch, rows, photos, tmp_path, damage):
    output = tmp_path / "out"
    batch(photos, output)
    before, model = rows(output), (output / "_model.onnx").read_bytes()
    (output / "_model.onnx").unlink()
    if (changed := damage(model)) is not None:
        (output / "_model.onnx").write_bytes(changed)
    (output / "part-000001.parquet").unlink()
    batch(photos, output)
    assert rows(output) == before
    assert (output / "_model.onnx").read_bytes() == model


def test_a_plan_is_opened_once_however_many_shards_it_has(batch, photos, tmp_path, monkeypatch):
    opened = []
    whole = files.parquet
    monkeypatch.setattr(files, "parquet", lambda place: opened.append(place) or whole(place))
    monkeypatch.setattr(plan, "_SHARDS_A_FILE", 10)
    output, told = tmp_path / "out", []
    for _ in range(2):
        opened.clear()
        assert batch(photos, output, shard_size=1).shards == COUNT
        told.append(sum("_plan-" in place for place in opened))
    plans = [f"_plan-{first:06d}.parquet" for first in (0, 10, 20)]
    assert sorted(p.name for p in output.glob("_plan-*")) == plans
    assert told == [3, 6], "once by the worker; then its length and its names by the driver"


def test_a_run_that_ended_between_two_plan_files_loses_nothing(batch, rows, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "_SHARDS_A_FILE", 10)
    output = tmp_path / "out"
    batch(photos, output, shard_size=1)
    before = rows(output)
    (output / "_plan-000020.parquet").unlink()
    for number in range(20, COUNT):
        (output / f"part-{number:06d}.parquet").unlink()
    assert batch(photos, output, shard_size=1).done_before == 20
    assert rows(output) == before


@pytest.mark.parametrize(
    ("paths", "lengths"),
    [
        pytest.param("abcdefg", [3, 3, 1], id="files of their own"),
        pytest.param("aaaaabc", [5, 2], id="a tar in five shards, then others"),
        pytest.param("abcccde", [5, 2], id="a tar that begins before the file is full"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_what_was_cut_stays_in_one_plan_file(monkeypatch, paths, lengths):
    monkeypatch.setattr(plan, "_SHARDS_A_FILE", 3)
    shards = iter([[Unit(path)] for path in paths])
    assert [len(list(content)) for content in plan._files_of(shards)] == lengths


def test_a_second_run_beside_the_first_is_told_so(batch, photos, tmp_path):
    with (
        locked(str(tmp_path / "out")),
        pytest.raises(DataError, match=rf"another run writes to it \(process {os.getpid()} on ") as caught,
    ):
        batch(photos, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists(), "a lock leaves no folder behind"


def test_a_killed_run_locks_nobody_out(tmp_path):
    code = "import sys, time\nfrom featherface.batch.lock import locked\n"
    code += "with locked(sys.argv[1]):\n    print(flush=True)\n    time.sleep(600)\n"
    output = str(tmp_path / "out")
    with subprocess.Popen([sys.executable, "-c", code, output], stdout=subprocess.PIPE) as process:
        assert process.stdout.read(1)
        with pytest.raises(DataError, match=str(process.pid)), locked(output):
            pass
        process.send_signal(signal.SIGKILL)
    with locked(output):
        assert (tmp_path / "out" / "_lock").exists()


def gone() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("mark", "refused"),
    [
        pytest.param(
            lambda: {"host": "another", "pid": 1, "seen": time.time()}, True, id="at work elsewhere"
        ),
        pytest.param(lambda: {"pid": os.getpid(), "seen": time.time()}, True, id="at work here"),
        pytest.param(lambda: {"pid": gone(), "seen": time.time()}, False, id="died here a moment ago"),
        pytest.param(
            lambda: {"host": "another", "pid": 1, "seen": time.time() - 999}, False, id="silent long"
        ),
        pytest.param(list, False, id="not a lock"),
    ],
)
def test_a_lock_in_a_store_holds_as_long_as_its_run_lives(tmp_path, mark, refused):
    system, output = fsspec.filesystem("memory"), f"memory://{tmp_path.name}-locked"
    place = f"/{tmp_path.name}-locked/_lock"
    content = mark()
    content = {"host": socket.gethostname(), **content} if content else content
    system.pipe_file(place, json.dumps(content).encode())
    if refused:
        with pytest.raises(DataError, match="another run writes to it"), locked(output):
            pass
        assert system.exists(place), "it is not ours to remove"
    else:
        with locked(output):
            assert json.loads(system.cat_file(place))["pid"] == os.getpid()
        assert not system.exists(place)
