"""The Ray engine: Ray Data gives shards to actors, which load the model once; scheduling is all Ray's."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from featherface.batch.plan import Shard
from featherface.batch.rows import Counts
from featherface.batch.work import Job, Report, Worker
from featherface.errors import DataError, FeatherFaceError

_MOST_BLOCKS = 10_000
_PATIENCE = 10


class Actor:
    """What a Ray worker keeps: the model, loaded once. Failures travel as data, so that Ray does not retry them."""

    def __init__(self, job: Job) -> None:
        self.failure: str | None = None
        try:
            self.worker = Worker(job)
        except FeatherFaceError as error:
            self.failure = str(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Do the shards of a batch; their reports as JSON."""
        reports = []
        for number, plan, row_group in zip(batch["number"], batch["plan"], batch["row_group"], strict=True):
            if self.failure is None:
                report = self.worker(Shard(int(number), str(plan), int(row_group)))
            else:
                report = Report(int(number), Counts(), self.failure)
            reports.append(json.dumps(asdict(report)))
        return {"report": reports}


def run_ray(
    job: Job, shards: Sequence[Shard], workers: int | None, address: str | None, gpus_per_worker: float
) -> Iterator[Report]:
    """The reports of the shards, as they come. DataError when the cluster cannot be reached or gives up.

    An actor takes one CPU, and `gpus_per_worker` GPUs. Without `workers` there are as many actors as fit.
    """
    import ray

    connect(address, workers)
    most = workers or _room(ray, gpus_per_worker)
    pool = {"min_size": 1, "max_size": max(1, min(most, len(shards)))}
    # Without `initial_size` Ray adds a seventh of the actors at a time, and waits for them to load the model.
    pool["initial_size"] = pool["max_size"]
    dataset = spread(Actor, (job,), [asdict(shard) for shard in shards], pool, gpus_per_worker)
    try:
        for row in dataset.iter_rows():
            values = json.loads(row["report"])
            yield Report(values["shard"], Counts(**values["counts"]), values["failure"])
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise DataError(f"Ray: {_first_line(error)}; run the same command again to go on") from error


def spread(
    actor: type, arguments: tuple[Any, ...], rows: list[dict[str, Any]], pool: dict[str, Any], num_gpus: float
) -> Any:
    """A Ray dataset of what a pool of actors makes of the rows, given to them one by one."""
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS)).map_batches(
        actor,
        fn_constructor_args=arguments,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(**pool),
        num_cpus=1,
        num_gpus=num_gpus,
    )


def connect(address: str | None, workers: int | None) -> None:
    """Join the cluster at `address` (or RAY_ADDRESS), or start Ray on this machine. DataError when unreachable."""
    import ray
    import ray.data  # here, because it sets up its own logging

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address is None:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            _knock(address)
            ray.init(address=address, **quiet)
    except Exception as error:  # Ray's own, OSError and ValueError
        raise DataError(f"Ray cluster {address or 'on this machine'}: {_first_line(error)}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _knock(address: str) -> None:
    """Ray tries for a minute, and writes many lines, before it gives up on a host that does not answer."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _room(ray: Any, gpus_per_worker: float) -> int:
    there = ray.cluster_resources()
    room = there.get("CPU", 1)
    return int(min(room, there.get("GPU", 0) / gpus_per_worker) if gpus_per_worker else room)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
