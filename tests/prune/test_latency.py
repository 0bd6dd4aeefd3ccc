"""Latency is measured in pairs, so that what else a machine does hits both."""

from __future__ import annotations

import pytest

from featherface.prune import latency


class Session:
    """Runs that take these seconds on the clock, one after the other."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, iter(seconds)

    def run(self, images):
        self.clock[0] += next(self.seconds)


@pytest.mark.parametrize(
    ("ours", "original", "expected"),
    [
        pytest.param([1, 1, 1, 1, 1], [2, 2, 2, 2, 2], 0.5, id="half of the time"),
        pytest.param([9, 9, 1, 1, 1], [1, 1, 2, 2, 2], 0.5, id="the first two warm up"),
        pytest.param([1, 1, 1, 10, 1], [2, 2, 2, 20, 2], 0.5, id="a busy moment hits both"),
        pytest.param([1, 1, 1, 50, 1], [2, 2, 2, 2, 2], 0.5, id="one run that was held up"),
    ],
)
def test_the_ratio_is_the_median_of_pairs(monkeypatch, ours, original, expected):
    clock = [0.0]
    monkeypatch.setattr(latency.time, "perf_counter", lambda: clock[0])
    sessions = (Session(clock, times) for times in (ours, original))
    assert latency.latency_ratio(*sessions, side=32, repeats=3) == expected
