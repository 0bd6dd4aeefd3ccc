"""Kill -9 at random moments, of the driver or of a worker: the output ends equal, row for row."""

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


def disturbed(photos, output, at, whom) -> bool:
    """One run with a kill after `at` seconds; whether the kill met a running process."""
    process = start(photos, output)
    try:
        process.wait(at)
    except subprocess.TimeoutExpired:
        workers = workers_of(process)
        if whom == "driver":
            process.kill()
            process.communicate()
            wait_until_gone(workers)
            return True
        if workers:
            kill(random.choice(workers))
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        return bool(workers)
    process.communicate()
    return False


def scenario(photos, folder, rows, kills, seed) -> None:
    chance = random.Random(seed)
    began = time.monotonic()
    process = start(photos, folder / "undisturbed")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    lasts = time.monotonic() - began
    expected = rows(folder / "undisturbed")
    output = folder / "out"
    met = tries = 0
    while met < kills:
        tries += 1
        assert tries < 10 * kills, "the kills never meet a running process"
        whom = chance.choice(["driver", "driver", "worker"])
        met += disturbed(photos, output, chance.uniform(0.2, 1) * lasts, whom)
        if output.is_dir() and len(list(output.glob("part-*"))) == len(expected) // 2 and met < kills:
            assert rows(output) == expected
            shutil.rmtree(output)
    process = start(photos, output)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert rows(output) == expected
    left = {p.name for p in output.rglob("*") if p.is_file()}
    parts = {f"part-{i:06d}.parquet" for i in range(len(expected) // 2)}
    assert left - {"_plan-000000.parquet", "_manifest.json", "_model.onnx"} == parts, (
        "half-written files and marks are swept away"
    )


def test_three_kills(photos, tmp_path, rows):
    scenario(photos, tmp_path, rows, kills=3, seed=3)


@pytest.mark.slow
def test_twenty_kills(photos, tmp_path, rows):
    scenario(photos, tmp_path, rows, kills=20, seed=20)
