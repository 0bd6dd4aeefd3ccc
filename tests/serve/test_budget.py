"""How many pixels are in work at one time: large pictures wait, small ones do not pass them for ever."""

from __future__ import annotations

import threading
import time

import pytest

from featherface.errors import ConfigError
from featherface.serve.limits import Budget, GaveUp
from featherface.serve.settings import Settings


def together(budget, shares, seconds=0.1, patience=10):
    """The most pixels in work at one time when a thread each asks for its share; and those that gave up."""
    lock, held, most, gave_up = threading.Lock(), 0, 0, []

    def work(pixels):
        nonlocal held, most
        try:
            with budget.share(pixels, time.monotonic() + patience):
                with lock:
                    held += pixels
                    most = max(most, held)
                time.sleep(seconds)
                with lock:
                    held -= pixels
        except GaveUp:
            gave_up.append(pixels)

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in shares]
    for thread in threads:
        thread.start()
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    return most, gave_up


@pytest.mark.parametrize(
    ("shares", "most", "patience", "gave_up"),
    [
        pytest.param([10, 10, 10], 30, 10, [], id="small ones side by side"),
        pytest.param([70, 70, 70], 70, 10, [], id="large ones one by one"),
        pytest.param([500, 10], 500, 10, [], id="one larger than all: alone"),
        pytest.param([70, 70, 70], 70, 0.05, [70, 70], id="no longer than there is time"),
    ],
)
def test_large_pictures_wait_for_each_other(shares, most, patience, gave_up):
    budget = Budget(100)
    assert together(budget, shares, patience=patience) == (most, gave_up)
    assert budget._free == 100, "all of it is given back"


def test_small_pictures_do_not_pass_a_large_one_for_ever():
    budget, order = Budget(100), []

    def work(name, pixels):
        with budget.share(pixels, time.monotonic() + 10):
            order.append(name)
            time.sleep(0.1)

    threads = [
        threading.Thread(target=work, args=of) for of in (("first", 60), ("large", 100), ("small", 10))
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.03)
    for thread in threads:
        thread.join()
    assert order == ["first", "large", "small"]


@pytest.mark.parametrize(
    ("settings", "budget"),
    [
        ({}, 50_000_000),
        ({"max_pixels": 1000}, 1000),
        ({"max_pixels": 1000, "pixels_at_once": 4000}, 4000),
        ({"max_pixels": 1000, "pixels_at_once": 1000}, 1000),
    ],
)
def test_the_budget_is_that_of_one_picture_unless_it_is_said(settings, budget):
    assert Settings(**settings).budget == budget


def test_a_budget_that_one_picture_exceeds_makes_no_sense():
    with pytest.raises(ConfigError, match="pixels_at_once = 10: must be 0 or at least max_pixels = 20"):
        Settings(max_pixels=20, pixels_at_once=10)
