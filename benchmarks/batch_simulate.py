"""How Ray's scheduler does with workers that one machine does not have: they sleep as long as real ones took.

    python benchmarks/batch_simulate.py times.json --workers 1 2 8 64 512 --json docs/numbers/batch_simulated.json

times.json is what `benchmarks/batch.py PHOTOS --json times.json` wrote. Ray Data's scheduler, set up by the same
function as a real run, and the driver are real. A worker's shard is three sleeps: for the reading and for the looking
of as many pictures as make about --shard-seconds, each drawn by chance from the measured ones, and for what a shard
takes besides. Nothing is scaled. Up to --processes workers each have a process; beyond, each process stands for
several workers by as many threads.

Starting is told apart: the clock runs from the first sleep, when all processes are there, to the end of the last.
Every worker-second of that which is not sleep that was asked for is in one of four: before a worker's first shard,
between its shards, sleeps and calls that lasted longer than asked, and after its last shard. Beside it the seconds of
CPU that driver, Ray's own processes and workers used for a shard, and the cores that others used meanwhile.
--json adds to the file, if it is there, so that runs can be repeated one by one.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import shlex
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from featherface.atomic import write_text
from featherface.batch.cluster import connect, spread
from featherface.benchmark.run import machine

PROCESSES = 64
Shard = dict[str, float]
"""Seconds of reading, looking and the rest."""


def main() -> None:
    """Simulate, print, add to the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("times", type=Path, help="what benchmarks/batch.py wrote")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 8, 64, 512])
    parser.add_argument("--shard-seconds", type=float, nargs="+", default=[1])
    parser.add_argument("--shards-a-worker", type=int, default=8)
    parser.add_argument("--processes", type=int, default=PROCESSES, help="at most")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="picture of all rows of --json, or of these")
    arguments = parser.parse_args()

    measured = json.loads(arguments.times.read_text())
    figures: dict[str, Any] = {"machine": machine(), "pictures": measured["pictures"], "simulated": []}
    figures["seconds_a_picture"] = {n: statistics.mean(measured["times"][n]) for n in ("read", "look")}
    figures["seconds_a_shard_besides"] = statistics.mean(measured["times"]["rest"])
    if arguments.json and arguments.json.exists():
        figures = json.loads(arguments.json.read_text())
    for wanted in arguments.shard_seconds:
        for workers in arguments.workers:
            work = drawn(measured["times"], wanted, workers * arguments.shards_a_worker)
            row = simulated(work, workers, min(workers, arguments.processes))
            told = {"shard_seconds": wanted, "load_average": os.getloadavg()[0]}
            figures["simulated"].append(row | told | {"command": shlex.join(sys.argv)})
            print(json.dumps(row), flush=True)
            if arguments.json:
                write_text(arguments.json, json.dumps(figures, indent=1) + "\n")
    if arguments.plot:
        plot(figures["simulated"], arguments.plot)


def drawn(times: dict[str, list[float]], wanted: float, count: int) -> list[Shard]:
    """`count` shards of as many measured pictures as make about `wanted` seconds."""
    chance = random.Random(0)
    pairs = list(zip(times["read"], times["look"], strict=True))
    pictures = max(1, round((wanted - statistics.mean(times["rest"])) / statistics.mean(map(sum, pairs))))
    shards = []
    for _ in range(count):
        read, look = map(sum, zip(*chance.choices(pairs, k=pictures), strict=True))
        shards.append({"read": read, "look": look, "rest": chance.choice(times["rest"])})
    return shards


class Sleeper:
    """Stands for a worker on a machine of its own; begins when all processes are there."""

    def __init__(self, folder: str, processes: int) -> None:
        self.folder, self.processes = Path(folder), processes
        self.begun = False
        (self.folder / str(os.getpid())).touch()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The time of a shard passes."""
        while not self.begun:
            self.begun = len(list(self.folder.iterdir())) >= self.processes
            time.sleep(0 if self.begun else 0.05)
        began = time.time()
        for name in ("read", "look", "rest"):
            time.sleep(float(batch[name][0]))
        worker = f"{os.getpid()}-{threading.get_ident()}"
        return {"worker": [worker], "began": [began], "ended": [time.time()]}


def simulated(work: list[Shard], workers: int, processes: int) -> dict[str, Any]:
    """Ray Data over sleepers: efficiency, beside that of a scheduler which takes no time; where the rest went."""
    import ray

    # No process but those of the actors.
    os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112
    asked = time.time()
    connect(None, processes)
    threads = -(-workers // processes)
    pool = {"size": processes, "max_concurrent_calls_per_actor": threads, "enable_true_multi_threading": True}
    with tempfile.TemporaryDirectory() as folder:
        before: list[dict[str, float]] = []
        watch = threading.Thread(target=when_there, args=(Path(folder), processes, before), daemon=True)
        watch.start()
        rows = list(spread(Sleeper, (folder, processes), [*map(dict, work)], pool, 0).iter_rows())
        after = used()
    ray.shutdown()
    slept = sum(sum(shard.values()) for shard in work)
    began, ended = min(row["began"] for row in rows), max(row["ended"] for row in rows)
    spent = {name: after[name] - before[0].get(name, 0.0) for name in after}
    clock = spent.pop("clock")
    return {
        "workers": workers,
        "processes": processes,
        "shards": len(work),
        "start_seconds": began - asked,
        "seconds": ended - began,
        "shards_a_second": len(work) / (ended - began),
        "efficiency": slept / workers / (ended - began),
        "at_best": slept / workers / makespan([sum(shard.values()) for shard in work], workers),
        "lost": lost(rows, workers, slept),
        "cpu_ms_a_shard": {n: 1000 * spent[n] / len(work) for n in ("driver", "ray", "workers")},
        "cores_of_others": max(spent["others"], 0.0) / clock,
    }


def lost(rows: list[dict[str, Any]], workers: int, slept: float) -> dict[str, float]:
    """Shares of all worker-seconds that were not asked-for sleep; their sum is 1 - efficiency."""
    began, ended = min(row["began"] for row in rows), max(row["ended"] for row in rows)
    whole = workers * (ended - began)
    own: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        own[row["worker"]].append((row["began"], row["ended"]))
    calls = [sorted(found) for found in own.values()]
    idle = (workers - len(calls)) * (ended - began)  # never got a shard
    return {
        "before": (idle + sum(found[0][0] - began for found in calls)) / whole,
        "between": sum(b[0] - a[1] for found in calls for a, b in pairwise(found)) / whole,
        "longer": (sum(end - start for found in calls for start, end in found) - slept) / whole,
        "after": sum(ended - found[-1][1] for found in calls) / whole,
    }


def makespan(work: list[float], workers: int) -> float:
    """When the last worker is done if each takes the next shard the moment it is free."""
    free = [0.0] * workers
    for seconds in work:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def when_there(folder: Path, processes: int, into: list[dict[str, float]]) -> None:
    """Look at the CPU's books as soon as all processes are there."""
    while len(list(folder.iterdir())) < processes:
        time.sleep(0.05)
    into.append(used())


def used() -> dict[str, float]:
    """Seconds of CPU until now: of this driver, Ray's processes, its workers, and all others; and the clock."""
    tick = os.sysconf("SC_CLK_TCK")
    found: dict[int, tuple[int, float, bytes]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "stat").read_text().rpartition(")")[2].split()
            line = (place / "cmdline").read_bytes()
        except OSError:
            continue  # has ended
        found[int(place.name)] = (int(words[1]), (int(words[11]) + int(words[12])) / tick, line)
    seconds = {"driver": 0.0, "ray": 0.0, "workers": 0.0, "clock": time.time()}
    for pid, (_, own, line) in found.items():
        if pid == os.getpid():
            seconds["driver"] += own
        elif ours(pid, found):
            worker = line.startswith(b"ray::") and b"MapWorker" in line
            seconds["workers" if worker else "ray"] += own
    busy = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    everything = (sum(busy[:3]) + sum(busy[5:8])) / tick  # all but idle and waiting for a disk
    seconds["others"] = everything - sum(seconds[name] for name in ("driver", "ray", "workers"))
    return seconds


def ours(pid: int, found: dict[int, tuple[int, float, bytes]]) -> bool:
    """Whether this process began it, or one that began it."""
    while pid in found:
        pid = found[pid][0]
        if pid == os.getpid():
            return True
    return False


def plot(rows: list[dict[str, Any]], target: Path) -> None:
    """Efficiency over workers, a curve through the medians for each length of shards; a dot is a run."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), dpi=110)
    for index, length in enumerate(sorted({row["shard_seconds"] for row in rows})):
        chosen = [row for row in rows if row["shard_seconds"] == length]
        counts = sorted({row["workers"] for row in chosen})
        for name, style, words in (
            ("efficiency", "-", f"shards of {length:g} s"),
            ("at_best", ":", "  if scheduling took no time"),
        ):
            middles = [statistics.median(r[name] for r in chosen if r["workers"] == n) for n in counts]
            axes.plot(counts, middles, style, color=f"C{index}", label=words)
        dots = [row["workers"] for row in chosen], [row["efficiency"] for row in chosen]
        axes.plot(*dots, "o", color=f"C{index}", markersize=4)
    axes.set(xscale="log", xlabel="workers", ylabel="efficiency", ylim=(0, 1.02))
    everyone = sorted({row["workers"] for row in rows})
    axes.set_xticks(everyone, minor=False)
    axes.set_xticklabels([str(count) for count in everyone])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(target)


if __name__ == "__main__":
    main()
