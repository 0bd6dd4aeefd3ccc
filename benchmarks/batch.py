"""How batch does on this machine: what a picture takes, and whole runs with 1 and 2 workers.

    python benchmarks/batch.py PHOTOS --json docs/numbers/batch.json

PHOTOS and --output may be URLs, so that the store's requests are in every measured second. First every shard of
the photos is done once by the real worker in this process: how long it waits for each picture, how long it looks at
it, and what it does once a shard (marks, plan, writing the part). `benchmarks/batch_simulate.py` draws from these.
Then the driver plans 200,000 pictures, which is told for a million; then whole runs of both engines in turns,
--repeats times each, starting of processes included; the seconds until the first shard was done are told beside.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from featherface.atomic import write_text
from featherface.batch.cluster import run_ray
from featherface.batch.manifest import Identity
from featherface.batch.plan import Shard, extend_plan
from featherface.batch.processes import run_local
from featherface.batch.run import Engine, Request, run
from featherface.batch.work import Job, Report, Worker
from featherface.benchmark.run import machine

PLANNED = 200_000


def main() -> None:
    """Measure, simulate, print; JSON and a picture for whoever wants to keep them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", help="any source of featherface batch")
    parser.add_argument(
        "--output", help="folder or URL for what the runs write; a temporary one if not given"
    )
    parser.add_argument("--workers", type=int, nargs="*", default=[1, os.cpu_count() or 1])
    parser.add_argument("--engines", nargs="*", default=["local", "ray"], choices=["local", "ray"])
    parser.add_argument("--shard-size", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    figures: dict[str, Any] = {"machine": machine(), "runs": []}
    with tempfile.TemporaryDirectory(prefix="featherface-batch-") as folder:
        output = arguments.output or folder
        times = one_by_one(Request(arguments.photos, f"{output}/alone", shard_size=arguments.shard_size))
        alone, pictures = sum(times["shard"]), len(times["look"])
        figures["pictures"], figures["shard_size"] = pictures, arguments.shard_size
        figures["seconds_a_picture"] = alone / pictures
        figures["shard_seconds"] = {
            "mean": statistics.mean(times["shard"]),
            "deviation": statistics.pstdev(times["shard"]),
        }
        figures["times"] = {name: [round(s, 5) for s in found] for name, found in times.items()}
        figures["plan_s_a_million"] = planning(folder)
        show(
            figures["seconds_a_picture"],
            "seconds a picture, one worker",
            figures["plan_s_a_million"],
            "to plan 1 M",
        )
        wanted = itertools.product(range(arguments.repeats), arguments.engines, arguments.workers)
        for turn, engine, workers in wanted:
            place = f"{output}/{engine}-{workers}-{turn}"
            request = Request(arguments.photos, place, shard_size=arguments.shard_size)
            figures["runs"].append(whole_run(request, engine, workers, alone))
            show(*figures["runs"][-1].values())
    if arguments.json:
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")


class Timed(Worker):
    """The real worker, which writes down how long everything took."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.times: dict[str, list[float]] = {"read": [], "look": [], "rest": [], "shard": []}

    def __call__(self, shard: Shard) -> Report:
        """Do a shard; the rest is what neither waits for a picture nor looks at one."""
        already = {name: sum(found) for name, found in self.times.items()}
        began = time.perf_counter()
        report = super().__call__(shard)
        seconds = time.perf_counter() - began
        pictures = sum(sum(self.times[name]) - already[name] for name in ("read", "look"))
        self.times["shard"].append(seconds)
        self.times["rest"].append(seconds - pictures)
        return report

    def _pictures(self, shard: Shard) -> Iterator[tuple[str, bytes | Exception]]:
        found = super()._pictures(shard)
        while True:
            began = time.perf_counter()
            picture = next(found, None)
            there = time.perf_counter()
            if picture is None:
                return
            yield picture
            self.times["read"].append(there - began)
            self.times["look"].append(time.perf_counter() - there)


def one_by_one(request: Request) -> dict[str, list[float]]:
    """Seconds of every picture (read: waited for it; look: decoded, detected, made a row) and of every shard."""
    workers: list[Timed] = []

    def timed(job: Job, shards: Sequence[Shard]) -> Iterator[Report]:
        workers.append(Timed(job))
        yield from map(workers[0], shards)

    run(request, timed, lambda done, total: None)
    return workers[0].times


def planning(folder: str) -> float:
    """Seconds in which the driver plans a million pictures whose names are in a text file."""
    source = Path(folder, "names.txt")
    source.write_text("".join(f"s3://album/{i // 1000:06d}/{i:09d}.jpg\n" for i in range(PLANNED)))
    output = f"{folder}/plan"
    began = time.perf_counter()
    extend_plan(output, Identity(str(source), str(source), folder, None, "v2", "", {}), None)
    return (time.perf_counter() - began) * 1e6 / PLANNED


def whole_run(request: Request, engine: str, workers: int, alone: float) -> dict[str, Any]:
    """A run with a fresh output, starting of processes included, against the seconds of all shards done alone."""
    begin: Engine = partial(run_local, workers=workers)
    if engine == "ray":
        begin = partial(run_ray, workers=workers, address=None, gpus_per_worker=0)
    done_at: list[float] = []

    def progress(done: int, total: int) -> None:
        if done:
            done_at.append(time.perf_counter())

    began = time.perf_counter()
    run(request, begin, progress)
    seconds = time.perf_counter() - began
    if engine == "ray":
        import ray

        ray.shutdown()
    return {
        "engine": engine,
        "workers": workers,
        "seconds": seconds,
        "first_shard_s": done_at[0] - began,
        "efficiency": alone / workers / seconds,
    }


def show(*values: Any) -> None:
    """A line of figures."""
    print("  ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values), flush=True)


if __name__ == "__main__":
    main()
