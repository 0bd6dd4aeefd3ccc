"""How batch grows: measured here with 1 and 2 workers, and simulated for clusters.

    python benchmarks/batch.py PHOTOS --json docs/numbers/batch.json --simulate 1 2 8 64 512 \\
        --plot docs/images/scale.png

PHOTOS and --output may be URLs, so that the store's requests are in every measured second. First every shard of
the photos is done once by the real worker in this process, each timed; and the driver plans 200,000 pictures, which
is told for a million. Then whole runs of both engines, starting of processes included.

--simulate keeps Ray Data's scheduler, set up by the same function as a real run, and a real driver. A worker does
nothing but sleep as long as measured shards took: sums of them, drawn by chance, of about --shard-seconds. Up to 64
workers each have a process; beyond, each of 64 processes stands for several workers by as many threads. The clock
runs from the first sleep to the end of the last, so starting is not in it. What limits such a run is Ray's driver
and scheduler on this machine and the last shards; a network between driver and workers, and a store that slows
down under many clients, are not in it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from featherface.atomic import write_text
from featherface.batch.cluster import connect, run_ray, spread
from featherface.batch.plan import Identity, Shard, extend_plan
from featherface.batch.processes import run_local
from featherface.batch.run import Engine, Request, run
from featherface.batch.work import Job, Report, Worker
from featherface.benchmark.run import machine

PROCESSES = 64
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
    parser.add_argument("--simulate", type=int, nargs="*", default=[], metavar="WORKERS")
    parser.add_argument("--shards-a-worker", type=int, default=8)
    parser.add_argument("--shard-seconds", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()

    figures: dict[str, Any] = {"machine": machine(), "runs": [], "simulated": []}
    with tempfile.TemporaryDirectory(prefix="featherface-batch-") as folder:
        output = arguments.output or folder
        seconds, pictures = one_by_one(
            Request(arguments.photos, f"{output}/alone", shard_size=arguments.shard_size)
        )
        figures["pictures"], figures["shard_size"] = pictures, arguments.shard_size
        figures["seconds_a_picture"] = sum(seconds) / pictures
        figures["shard_seconds"] = {"mean": statistics.mean(seconds), "deviation": statistics.pstdev(seconds)}
        figures["plan_s_a_million"] = planning(folder)
        show(
            figures["seconds_a_picture"],
            "seconds a picture, one worker",
            figures["plan_s_a_million"],
            "to plan 1 M",
        )
        for engine in arguments.engines:
            for workers in arguments.workers:
                request = Request(
                    arguments.photos, f"{output}/{engine}-{workers}", shard_size=arguments.shard_size
                )
                figures["runs"].append(whole_run(request, engine, workers, sum(seconds)))
                show(*figures["runs"][-1].values())
    for wanted in arguments.shard_seconds:
        for workers in arguments.simulate:
            work = drawn(seconds, wanted, workers * arguments.shards_a_worker)
            figures["simulated"].append(simulated(work, workers) | {"shard_seconds": wanted})
            show(*figures["simulated"][-1].values())
    if arguments.json:
        write_text(arguments.json, json.dumps(figures, indent=1) + "\n")
    if arguments.plot:
        plot(figures["simulated"], arguments.plot)


def one_by_one(request: Request) -> tuple[list[float], int]:
    """The seconds of every shard, done alone by the real worker, its writing included; and how many pictures."""
    seconds = []

    def timed(job: Job, shards: Sequence[Shard]) -> Iterator[Report]:
        worker = Worker(job)
        for shard in shards:
            began = time.perf_counter()
            report = worker(shard)
            seconds.append(time.perf_counter() - began)
            yield report

    return seconds, run(request, timed, lambda done, total: None).counts.rows


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
    began = time.perf_counter()
    run(request, begin, lambda done, total: None)
    seconds = time.perf_counter() - began
    if engine == "ray":
        import ray

        ray.shutdown()
    return {"engine": engine, "workers": workers, "seconds": seconds, "efficiency": alone / workers / seconds}


def drawn(seconds: list[float], wanted: float, count: int) -> list[float]:
    """Times of `count` shards: sums of measured ones, so that larger shards vary less, as they do."""
    chance = random.Random(0)
    parts = max(1, round(wanted / statistics.mean(seconds)))
    scale = wanted / (parts * statistics.mean(seconds))
    return [scale * sum(chance.choices(seconds, k=parts)) for _ in range(count)]


class Sleeper:
    """Stands for a worker on a machine of its own; begins when all processes are there."""

    def __init__(self, folder: str, processes: int) -> None:
        self.folder, self.processes = Path(folder), processes
        (self.folder / str(os.getpid())).touch()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The time of a shard passes."""
        while len(list(self.folder.iterdir())) < self.processes:
            time.sleep(0.05)
        began = time.time()
        time.sleep(float(batch["seconds"].sum()))
        return {"began": [began], "ended": [time.time()]}


def simulated(work: list[float], workers: int) -> dict[str, Any]:
    """Ray Data over sleepers: efficiency, beside that of a scheduler which takes no time."""
    import ray

    processes = min(workers, PROCESSES)
    # No process but those of the actors.
    os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112
    connect(None, processes)
    threads = -(-workers // processes)
    pool = {"size": processes, "max_concurrent_calls_per_actor": threads, "enable_true_multi_threading": True}
    with tempfile.TemporaryDirectory() as folder:
        sleepers = spread(Sleeper, (folder, processes), [{"seconds": s} for s in work], pool, 0)
        rows = list(sleepers.iter_rows())
    ray.shutdown()
    wall = max(row["ended"] for row in rows) - min(row["began"] for row in rows)
    return {
        "workers": workers,
        "processes": processes,
        "shards": len(work),
        "seconds": wall,
        "shards_a_second": len(work) / wall,
        "efficiency": sum(work) / workers / wall,
        "at_best": sum(work) / workers / makespan(work, workers),
    }


def makespan(work: list[float], workers: int) -> float:
    """When the last worker is done if each takes the next shard the moment it is free."""
    free = [0.0] * workers
    for seconds in work:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def plot(rows: list[dict[str, Any]], target: Path) -> None:
    """Efficiency over workers, a curve for each length of shards."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), dpi=110)
    for colour, length in zip(
        ("C0", "C1", "C2", "C3"), sorted({r["shard_seconds"] for r in rows}), strict=False
    ):
        chosen = [r for r in rows if r["shard_seconds"] == length]
        workers = [r["workers"] for r in chosen]
        axes.plot(
            workers, [r["efficiency"] for r in chosen], "o-", color=colour, label=f"shards of {length:g} s"
        )
        axes.plot(
            workers, [r["at_best"] for r in chosen], ":", color=colour, label="  if scheduling took no time"
        )
    axes.set(xscale="log", xlabel="workers", ylabel="efficiency", ylim=(0, 1.02))
    axes.set_xticks(sorted({r["workers"] for r in rows}), minor=False)
    axes.set_xticklabels([str(w) for w in sorted({r["workers"] for r in rows})])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(target)


def show(*values: Any) -> None:
    """A line of figures."""
    print("  ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values), flush=True)


if __name__ == "__main__":
    main()
