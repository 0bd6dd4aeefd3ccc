"""Kill -9 at random moments, of the driver or of a worker: the output ends equal, row for row.

A kill counts when it met a shard in flight: the worker that is killed, or one of the driver's, holds its unfinished
part open.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")


def start(photos, output):
    # `python -m featherface.cli` is not a command; the script's own entry point is.
    code = "from featherface.cli import main; main()"
    options = ["--output", str(output), "--workers", "2", "--shard-size", "2", "--quiet"]
    return subprocess.Popen(
        [sys.executable, "-c", code, "batch", str(photos), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(process) -> list[int]:
    """The pool's processes (spawn_main), not multiprocessing's resource tracker."""
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    except OSError:
        return []
    return [int(pid) for pid in children if "spawn_main" in command_line(pid)]


def command_line(pid) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:
        return ""


def kill(pid) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until_gone(pids) -> None:
    end = time.monotonic() + 10
    while alive := [pid for pid in pids if "spawn_main" in command_line(pid)]:
        assert time.monotonic() < end, f"orphans {alive} outlive their driver"
        time.sleep(0.05)


def disturbed(photos, output, shards, whom, chance, in_the_middle, halt, let_go) -> bool:
    """One run with a kill at a random moment; whether the kill met a shard in flight of whom it killed.

    A run that outlives its worker must end whole.
    """
    process = start(photos, output)
    if in_the_middle(process, output, shards, chance):
        workers = workers_of(process)
        if whom == "driver":
            met = halt(workers, output)
            process.kill()
            let_go(workers)
            process.communicate()
            wait_until_gone(workers)
            return met
        victims = chance.sample(workers, min(1, len(workers)))
        met = halt(victims, output)
        for victim in victims:
            kill(victim)
        ended(process, output, shards)
        return met
    ended(process, output, shards)
    return False


def ended(process, output, shards) -> None:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert len(list(output.glob("part-*"))) == shards, "exit code 0, and shards are missing"


def scenario(photos, folder, rows, stopping, kills, seed) -> None:
    chance = random.Random(seed)
    process = start(photos, folder / "undisturbed")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    expected = rows(folder / "undisturbed")
    by_path = {row["path"]: row for row in expected}
    output = folder / "out"
    met = tries = 0
    while met < kills:
        tries += 1
        assert tries < 20 * kills, "the kills never meet a shard in flight"
        whom = chance.choice(["driver", "driver", "worker"])
        met += disturbed(photos, output, len(expected) // 2, whom, chance, *stopping)
        found = rows(output)
        assert len({row["path"] for row in found}) == len(found), "no row is there twice"
        assert found == [by_path[row["path"]] for row in found], "what is there is whole and right"
        if len(found) == len(expected) and met < kills:
            shutil.rmtree(output)
    process = start(photos, output)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert rows(output) == expected
    nothing_is_left_over(output, len(expected) // 2)


def nothing_is_left_over(output, shards) -> None:
    """Neither half-written files nor marks nor the lock."""
    parts = {f"part-{i:06d}.parquet" for i in range(shards)}
    left = {str(p.relative_to(output)) for p in output.rglob("*")}
    assert left == parts | {"_plan-000000.parquet", "_manifest.json", "_model.onnx"}


@pytest.mark.long
def test_three_kills(photos, tmp_path, rows, in_the_middle, halt, let_go):
    scenario(photos, tmp_path, rows, (in_the_middle, halt, let_go), kills=3, seed=3)


@pytest.mark.slow
def test_twenty_kills(photos, tmp_path, rows, in_the_middle, halt, let_go):
    scenario(photos, tmp_path, rows, (in_the_middle, halt, let_go), kills=20, seed=20)


def test_a_worker_is_in_flight_only_with_a_part_of_its_own(tmp_path, halt):
    """What the kills count by: another process's open part, or a finished one, is none of this worker's."""
    code = "import sys, time; f = [open(p, 'wb') for p in sys.argv[1:]]; print('ready', flush=True); time.sleep(60)"
    part, elsewhere = tmp_path / ".part-000001.parquet.x", tmp_path / "other" / "part-000001.parquet"
    elsewhere.parent.mkdir()
    cases = {"own part": [part], "nothing": [], "a part of another output": [elsewhere]}
    processes = {
        name: subprocess.Popen([sys.executable, "-c", code, *map(str, files)], stdout=subprocess.PIPE)
        for name, files in cases.items()
    }
    try:
        for process in processes.values():
            process.stdout.readline()
        met = {name: halt([process.pid], tmp_path) for name, process in processes.items()}
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    assert met == {"own part": True, "nothing": False, "a part of another output": False}
