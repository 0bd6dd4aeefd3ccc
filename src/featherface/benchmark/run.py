"""Starts a process for every file, size and thread count, and times them in turns."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import queue
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from featherface.errors import ConfigError

SIZES = {"320": (320, 320), "640": (640, 640), "vga": (480, 640), "1080p": (1080, 1920)}
"""Height and width of the picture."""

_BLOCK = 3
"""Runs of one process before the next has its turn: a slow moment of the machine then hits all alike."""

TIMEOUT_S = 120.0
"""A process that does not answer for so long, for a start or a few runs, has hung."""


@dataclass(frozen=True)
class Subject:
    """A model file to measure."""

    title: str
    file: Path
    size: str
    """One of `SIZES`, or HEIGHTxWIDTH."""
    threads: int
    precision: str | None = None
    """What OpenVINO computes in, when not float32."""


@dataclass(frozen=True)
class Spread:
    """Milliseconds over all runs."""

    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""
    best: float
    runs: int


@dataclass
class Measured:
    """What was found of one subject; `error` says why there is nothing."""

    subject: Subject
    network_ms: Spread | None = None
    whole_ms: Spread | None = None
    """Picture in memory to Detections."""
    faces: int | None = None
    cold_start_s: float | None = None
    """From starting Python to the first result: the faces, or of others' files what the network puts out."""
    peak_mb: float | None = None
    file_mb: float = 0.0
    error: str | None = None
    note: str | None = None
    """What was not as asked for."""
    times: dict[str, list[float]] = field(default_factory=lambda: {"network": [], "whole": []}, repr=False)


def measure(
    subjects: Sequence[Subject],
    photo: Path,
    repeats: int = 30,
    warm_up: int = 3,
    report: Callable[[str], None] = lambda line: None,
) -> list[Measured]:
    """Every subject's times, interleaved. A subject that fails has an `error`; the others go on."""
    check_runs(repeats, warm_up)
    results = [Measured(subject, file_mb=file_size(subject.file) / 1e6) for subject in subjects]
    # Ratios are within a size, so only its processes need take turns; all at once might not fit the memory.
    for size in dict.fromkeys(result.subject.size for result in results):
        _measure([r for r in results if r.subject.size == size], photo, repeats, warm_up, report)
    return results


def check_runs(repeats: int, warm_up: int) -> None:
    """ConfigError for numbers of runs that make no median and quartiles."""
    if repeats < 2 or warm_up < 0:
        raise ConfigError(f"{repeats} repeats after {warm_up} warm-up runs: at least 2 repeats, 0 to warm up")


def _measure(
    results: Sequence[Measured], photo: Path, repeats: int, warm_up: int, report: Callable[[str], None]
) -> None:
    """Those of one size, in turns."""
    workers: list[tuple[Measured, _Worker]] = []
    try:
        for result in results:
            report(
                f"starting {result.subject.title}, {result.subject.size}, {result.subject.threads} threads"
            )
            worker = _Worker(result.subject, photo)
            workers.append((result, worker))
            _start(result, worker, warm_up)
        done = 0
        while done < repeats:
            block = min(_BLOCK, repeats - done)
            report(f"{done} of {repeats} runs")
            for result, worker in workers:
                _turn(result, worker, block)
            done += block
        for result, worker in workers:
            _finish(result, worker)
    finally:
        for _, worker in workers:
            worker.kill()


def spread(times: Sequence[float]) -> Spread | None:
    """Median and quartiles; None for fewer than two times."""
    if len(times) < 2:
        return None
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return Spread(median, low, high, min(times), len(times))


def parse_picture_size(text: str) -> tuple[int, int]:
    """`640`, `vga`, `720x1280` to height and width; ConfigError for anything else."""
    if text in SIZES:
        return SIZES[text]
    height, _, width = text.partition("x")
    if height.isdecimal() and width.isdecimal() and int(height) and int(width):
        return int(height), int(width)
    raise ConfigError(f"size {text!r}: expected {', '.join(SIZES)} or HEIGHTxWIDTH")


def machine() -> dict[str, Any]:
    """Which machine this is, as far as it says."""
    cpu, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        pairs = (line.partition(":") for line in info.read_text().splitlines())
        lines = {key.strip(): value.strip() for key, _, value in pairs}
        cpu, flags = lines.get("model name", cpu), lines.get("flags", "")
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8")
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "instructions": [name for name in known if name in flags.split()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def file_size(model: Path) -> int:
    """Bytes of a model file with the weights beside it."""
    files = [model]
    if model.suffix in (".xml", ".param"):
        files.append(model.with_suffix(".bin"))
    return sum(file.stat().st_size for file in files if file.is_file())


class _Worker:
    """A process that runs one subject."""

    def __init__(self, subject: Subject, photo: Path) -> None:
        job = {
            "file": str(subject.file),
            "size": parse_picture_size(subject.size),
            "threads": subject.threads,
            "precision": subject.precision,
            "photo": str(photo),
        }
        limits = {name: str(subject.threads) for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")}
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "featherface.benchmark.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **limits},
        )
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        """A pipe cannot be read with a time-out everywhere, a queue can."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put("")

    def ask(self, command: str | None) -> Any:
        """The answer to a command (or the first word); what went wrong when the process is gone or hangs."""
        assert self.process.stdin is not None
        runs = int(command.split()[1]) if command and " " in command else 1
        patience = TIMEOUT_S * max(1, runs / _BLOCK)
        try:
            if command is not None:
                self.process.stdin.write(command + "\n")
                self.process.stdin.flush()
            return json.loads(self.answers.get(timeout=patience))
        except queue.Empty:
            self.kill()
            return {"error": f"the runtime hung: no answer in {patience:.0f} s"}
        except (OSError, ValueError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
            return {"error": f"the runtime crashed (exit status {self.process.poll()})"}

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _start(result: Measured, worker: _Worker, warm_up: int) -> None:
    first = worker.ask(None)
    if _failed(result, first):
        return
    result.cold_start_s = time.perf_counter() - worker.started
    result.faces, result.note = first["faces"], first["note"]
    for kind in ("network", "whole"):
        if result.error is None:
            _failed(result, worker.ask(f"{kind} {warm_up}"))


def _turn(result: Measured, worker: _Worker, count: int) -> None:
    for kind, times in result.times.items():
        if result.error is not None:
            return
        found = worker.ask(f"{kind} {count}")
        if not _failed(result, found) and found is not None:
            times.extend(found)


def _finish(result: Measured, worker: _Worker) -> None:
    if result.error is not None:
        return
    last = worker.ask("stop")
    if not _failed(result, last):
        result.peak_mb = last["peak_mb"]
    result.network_ms, result.whole_ms = spread(result.times["network"]), spread(result.times["whole"])


def _failed(result: Measured, answer: Any) -> bool:
    if isinstance(answer, dict) and "error" in answer:
        result.error = str(answer["error"])
        return True
    return False
