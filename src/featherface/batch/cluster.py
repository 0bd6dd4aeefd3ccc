"""The Ray engine: Ray Data gives shards to actors, which load the model once; scheduling is all Ray's."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from featherface.batch.manifest import Counts
from featherface.batch.plan import Shard
from featherface.batch.work import Job, Report, start
from featherface.errors import ConfigError, DataError, one_line, reason_of

_MOST_BLOCKS = 10_000
_PATIENCE = 10
# HTTP/2's greeting and an empty frame of settings, which a server of it answers with settings of its own.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"
_FRAME_HEAD = 9
_SETTINGS = 4


class Actor:
    """What a Ray worker keeps: the model, loaded once. Failures travel as data, so that Ray does not retry them."""

    def __init__(self, job: Job) -> None:
        self.work = start(job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Do the shards of a batch; their reports as JSON."""
        rows = zip(batch["number"], batch["plan"], batch["row_group"], batch["redo"], strict=True)
        shards = [Shard(int(number), str(plan), int(group), bool(redo)) for number, plan, group, redo in rows]
        return {"report": [json.dumps(asdict(self.work(shard))) for shard in shards]}


def run_ray(
    job: Job, shards: Sequence[Shard], workers: int | None, address: str | None, gpus_per_worker: float
) -> Iterator[Report]:
    """The reports of the shards, as they come. DataError when the cluster cannot be reached or gives up,
    ConfigError when no node of it can hold a worker.

    An actor takes one CPU, and `gpus_per_worker` GPUs. Without `workers` there are as many actors as fit.
    """
    import ray

    connect(address, workers)
    fit = room(ray.nodes(), gpus_per_worker)  # type: ignore[no-untyped-call]
    if not fit:
        raise ConfigError(
            f"Ray cluster: no node has a CPU and {gpus_per_worker:g} GPUs for a worker; see --gpus-per-worker"
            if gpus_per_worker
            else "Ray cluster: no node has a CPU for a worker"
        )
    pool = {"min_size": 1, "max_size": min(workers or fit, len(shards))}
    # Without `initial_size` Ray adds a seventh of the actors at a time, and waits for them to load the model.
    pool["initial_size"] = pool["max_size"]
    dataset = spread(Actor, (job,), [asdict(shard) for shard in shards], pool, gpus_per_worker)
    try:
        for row in dataset.iter_rows():
            values = json.loads(row["report"])
            yield Report(values["shard"], Counts(**values["counts"]), values["failure"])
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise DataError(f"Ray: {one_line(error)}; run the same command again to go on") from error


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
    # Ray Data hands its actors their work by object store, and Ray's C++ calls that an error in every good run. What
    # does go wrong comes as an exception.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    address = address or os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address is None:
            ray.init(address="local", num_cpus=workers, include_dashboard=False, **quiet)
        else:
            _knock(address)
            ray.init(address=address, **quiet)
    except Exception as error:  # Ray's own, OSError and ValueError
        raise DataError(f"Ray cluster {address or 'on this machine'}: {reason_of(error)}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _knock(address: str) -> None:
    """Whether somebody who may be Ray answers. Ray itself waits for ever for one who is there and is none.

    OSError when nobody answers in time, or in another language than Ray's, which is gRPC's HTTP/2.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return
    with socket.create_connection((host, int(port)), timeout=_PATIENCE) as line:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return  # who speaks TLS does not answer this greeting
        line.sendall(_GREETING)
        try:
            head = line.recv(_FRAME_HEAD, socket.MSG_WAITALL)
        except TimeoutError:
            raise TimeoutError(f"is there, but said nothing in {_PATIENCE} seconds") from None
    if len(head) < _FRAME_HEAD or head[3] != _SETTINGS:
        raise ConnectionError("is there, but is no Ray cluster")


def room(nodes: list[dict[str, Any]], gpus_per_worker: float) -> int:
    """How many workers fit on the nodes, as `ray.nodes()` describes them: none shares a GPU of two nodes."""
    fit = 0
    for node in nodes:
        there = node["Resources"] if node["Alive"] else {}
        cpus = int(there.get("CPU", 0))
        fit += min(cpus, int(there.get("GPU", 0) / gpus_per_worker)) if gpus_per_worker else cpus
    return fit
