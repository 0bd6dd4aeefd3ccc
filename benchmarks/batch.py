"""How batch grows: python benchmarks/batch.py PHOTOS [--workers 1 2] [--engines local ray] [--simulate 8 64].

Measures pictures a second of each engine for each number of workers, with the share of time that is overhead:
starting, planning, reading, writing. `--simulate` keeps Ray's real scheduler with as many actors, but each
sleeps for the measured time of a shard in place of computing, so one machine can stand in for a cluster; it
needs about 100 MB of memory an actor. Give a quiet machine, and at least some hundred photos.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from featherface import Detector
from featherface.batch.cluster import run_ray
from featherface.batch.processes import run_local
from featherface.batch.run import Request, run
from featherface.images import IMAGE_SUFFIXES, read_image


def main() -> None:
    """Measure, print a table, and JSON for whoever wants to keep it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    parser.add_argument("--engines", nargs="+", default=["local", "ray"], choices=["local", "ray"])
    parser.add_argument("--shard-size", type=int, default=16)
    parser.add_argument("--simulate", type=int, nargs="*", default=[], metavar="ACTORS")
    parser.add_argument("--shards-an-actor", type=int, default=16)
    parser.add_argument("--shard-seconds", type=float, help="simulated; measured when not given")
    arguments = parser.parse_args()

    photos = sorted(p for p in arguments.photos.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    alone = seconds_a_picture(photos)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; {len(photos)} photos, {alone:.4f} s each on one thread"
    )
    rows = []
    print(f"{'engine':12}{'workers':>8}{'seconds':>9}{'photos/s':>10}{'efficiency':>12}")
    for engine in arguments.engines:
        for workers in arguments.workers:
            rows.append(measured(arguments.photos, engine, workers, arguments.shard_size, len(photos), alone))
            show(rows[-1])
    shard_seconds = arguments.shard_seconds or alone * arguments.shard_size
    for actors in arguments.simulate:
        rows.append(simulated(actors, arguments.shards_an_actor, shard_seconds, arguments.shard_size))
        show(rows[-1])
    print(json.dumps({"seconds_a_picture": alone, "runs": rows}))


def seconds_a_picture(photos: list[Path]) -> float:
    """Reading and looking, one thread, without any engine; over at most 50 photos."""
    detector, some = Detector(threads=1), photos[:: max(1, len(photos) // 50)]
    detector.detect(read_image(some[0]))
    began = time.perf_counter()
    for path in some:
        detector.detect(path)
    return (time.perf_counter() - began) / len(some)


def measured(
    photos: Path, engine: str, workers: int, shard_size: int, count: int, alone: float
) -> dict[str, Any]:
    """A whole run with a fresh output, starting of processes included."""
    output = tempfile.mkdtemp(prefix="featherface-batch-")
    begin = partial(run_local, workers=workers)
    if engine == "ray":
        begin = partial(run_ray, workers=workers, address=None, gpus_per_worker=0)
    began = time.perf_counter()
    run(Request(str(photos), output, shard_size=shard_size), begin, lambda done, total: None)
    seconds = time.perf_counter() - began
    shutil.rmtree(output)
    stop_ray(engine)
    return row(engine, workers, seconds, count, count * alone / workers / seconds)


class Sleeper:
    """Stands for a worker on a machine of its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The time of a shard passes."""
        time.sleep(self.seconds * len(batch["shard"]))
        return batch


def simulated(actors: int, shards_an_actor: int, seconds: float, shard_size: int) -> dict[str, Any]:
    """Ray Data over sleeping actors. The clock starts with the first shard done, as actors start once."""
    import ray

    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
    ray.init(address="local", num_cpus=actors, **quiet)
    ray.data.DataContext.get_current().enable_progress_bars = False
    count = actors * shards_an_actor
    dataset = ray.data.from_items(
        [{"shard": i} for i in range(count)], override_num_blocks=count
    ).map_batches(
        Sleeper,
        fn_constructor_args=(seconds,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=1,
    )
    first = 0.0
    for number, _ in enumerate(dataset.iter_rows()):
        if number == 0:
            first = time.perf_counter() - seconds
    spent = time.perf_counter() - first
    stop_ray("ray")
    return row("simulated", actors, spent, count * shard_size, shards_an_actor * seconds / spent)


def stop_ray(engine: str) -> None:
    """Ray off, so that the next run starts like the first."""
    if engine == "ray":
        import ray

        ray.shutdown()


def row(engine: str, workers: int, seconds: float, count: int, efficiency: float) -> dict[str, Any]:
    """One line of the table."""
    speed = round(count / seconds, 2)
    return {
        "engine": engine,
        "workers": workers,
        "seconds": round(seconds, 2),
        "photos_a_second": speed,
        "efficiency": round(efficiency, 3),
    }


def show(line: dict[str, Any]) -> None:
    """Print it."""
    speed, share = line["photos_a_second"], line["efficiency"]
    print(
        f"{line['engine']:12}{line['workers']:8}{line['seconds']:9.1f}{speed:10.1f}{share:12.2f}", flush=True
    )


if __name__ == "__main__":
    main()
