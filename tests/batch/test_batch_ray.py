"""A Ray cluster of several nodes on this machine (Ray's own test utilities), killed in every way. Minutes long."""

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

ray = pytest.importorskip("ray", reason="the ray extra is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc"),
]
SHARD = 3


@pytest.fixture(scope="module")
def cluster():
    """A head that computes nothing, and two workers of one CPU each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def start(cluster, photos, output):
    code = "from featherface.cli import main; main()"
    options = ["--engine", "ray", "--address", cluster.address, "--shard-size", str(SHARD), "--quiet"]
    return subprocess.Popen(
        [sys.executable, "-c", code, "batch", str(photos), "--output", str(output), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process):
    _, errors = process.communicate(timeout=1200)
    assert process.returncode == 0, errors


def actors(nodes) -> list[int]:
    """The processes in which Ray runs our actors: children of the nodes' raylets."""
    found = []
    for node in nodes:
        raylet = node.all_processes["raylet"][0].process.pid
        with suppress(OSError):
            children = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
            found += [int(pid) for pid in children if "MapWorker" in title(pid)]
    return found


def title(pid) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:
        return ""


class Kills:
    """Each kills, lets the run end, and says whether whom it killed, or the driver's workers, had a shard in flight."""

    def __init__(self, cluster, output, halt, let_go, chance):
        self.cluster, self.output, self.halt, self.let_go = cluster, output, halt, let_go
        self.chance = chance

    def driver(self, process) -> bool:
        workers = actors(self.cluster.worker_nodes)
        met = self.halt(workers, self.output)
        process.kill()
        self.let_go(workers)
        process.communicate()
        return met

    def worker(self, process) -> bool:
        workers = actors(self.cluster.worker_nodes)
        victims = self.chance.sample(workers, min(1, len(workers)))
        met = self.halt(victims, self.output)
        for victim in victims:
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        finished(process)
        return met

    def node(self, process) -> bool:
        node = self.chance.choice(list(self.cluster.worker_nodes))
        workers = actors([node])
        met = self.halt(workers, self.output)
        self.cluster.remove_node(node, allow_graceful=False)
        self.let_go(workers)  # a stopped process does not notice that its node is gone
        time.sleep(1)
        self.cluster.add_node(num_cpus=1)
        finished(process)
        return met


def test_twenty_kills_of_drivers_workers_and_nodes(
    cluster, photos, tmp_path, rows, in_the_middle, halt, let_go
):
    began = time.monotonic()
    finished(start(cluster, photos, tmp_path / "undisturbed"))
    expected, output = rows(tmp_path / "undisturbed"), tmp_path / "out"
    chance, met = random.Random(7), {"driver": 0, "worker": 0, "node": 0}
    kills = Kills(cluster, output, halt, let_go, chance)
    for attempt in range(100):
        if min(met.values()) >= 6 and sum(met.values()) >= 20:
            break
        kill = min(met, key=lambda k: met[k])
        process = start(cluster, photos, output)
        if in_the_middle(process, output, len(expected) // SHARD, chance):
            met[kill] += getattr(kills, kill)(process)
            process.wait(120)
        else:
            process.communicate()
            assert process.returncode == 0
        found = rows(output)
        by_path = {row["path"]: row for row in expected}
        assert len({row["path"] for row in found}) == len(found), f"attempt {attempt}: a row is there twice"
        assert found == [by_path[row["path"]] for row in found], f"attempt {attempt}"
        # Whoever is killed but the driver: the run goes on, and its exit code 0 says that all is there.
        assert process.returncode != 0 or len(found) == len(expected), f"attempt {attempt}: rows are missing"
        if len(found) == len(expected):
            assert not list(output.glob(".*")), "no temporary file is left"
            shutil.rmtree(output)
        print(f"{time.monotonic() - began:.0f} s, attempt {attempt}, met {met}", flush=True)
    assert sum(met.values()) >= 20
    finished(start(cluster, photos, output))
    assert rows(output) == expected


def test_ray_and_local_write_the_same_rows(cluster, photos, tmp_path, rows, batch):
    finished(start(cluster, photos, tmp_path / "ray"))
    batch(photos, tmp_path / "local", shard_size=SHARD)
    assert rows(tmp_path / "ray") == rows(tmp_path / "local")
