"""What the simulation of a cluster makes of its sleepers' times."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "batch_simulate.py"


@pytest.fixture(scope="module")
def simulate():
    spec = importlib.util.spec_from_file_location("batch_simulate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(worker, began, ended):
    return {"worker": worker, "began": began, "ended": ended}


@pytest.mark.parametrize(
    ("calls", "workers", "slept", "lost"),
    [
        pytest.param([call("a", 0, 4), call("b", 0, 4)], 2, 8, {}, id="everybody works all the time"),
        pytest.param([call("a", 0, 4), call("b", 1, 4)], 2, 7, {"before": 1 / 8}, id="one begins late"),
        pytest.param([call("a", 0, 4)], 2, 4, {"before": 1 / 2}, id="one never gets a shard"),
        pytest.param(
            [call("a", 3, 4), call("a", 0, 1), call("b", 0, 4)],
            2,
            6,
            {"between": 1 / 4},
            id="one waits between",
        ),
        pytest.param(
            [call("a", 0, 4), call("b", 0, 4)], 2, 6, {"longer": 1 / 4}, id="sleeps last longer than asked"
        ),
        pytest.param(
            [call("a", 0, 4), call("b", 0, 2)], 2, 6, {"after": 1 / 4}, id="nothing is left for one"
        ),
    ],
)
def test_every_lost_second_has_one_reason(simulate, calls, workers, slept, lost):
    found = simulate.lost(calls, workers, slept)
    assert found == pytest.approx({"before": 0, "between": 0, "longer": 0, "after": 0} | lost)
    efficiency = slept / workers / (max(c["ended"] for c in calls) - min(c["began"] for c in calls))
    assert sum(found.values()) == pytest.approx(1 - efficiency)


def test_shards_are_of_whole_measured_pictures_and_not_scaled(simulate):
    times = {"read": [0.25, 0.5], "look": [1.0, 2.0], "rest": [0.125]}
    for shard in simulate.drawn(times, wanted=4, count=50):
        assert shard["rest"] == 0.125
        # Two pictures make 3.75 s on average; read and look are of the same picture.
        assert (shard["read"], shard["look"]) in {(0.5, 2.0), (0.75, 3.0), (1.0, 4.0)}


@pytest.mark.parametrize(
    ("work", "workers", "ends"),
    [
        pytest.param([1, 1, 1, 1], 2, 2, id="equal ones"),
        pytest.param([1, 1, 4], 2, 5, id="a long one at the end"),
        pytest.param([3], 8, 3, id="more workers than shards"),
    ],
)
def test_the_last_worker_ends(simulate, work, workers, ends):
    assert simulate.makespan(work, workers) == ends
