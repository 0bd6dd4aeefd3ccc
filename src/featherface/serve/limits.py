"""What looking at a picture costs, in pixels and in seconds, and how both are kept within bounds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featherface.detector import overview_scale, tile_starts
from featherface.images import Input, filled
from featherface.runtime import Session
from featherface.runtimes.spec import ModelSpec
from featherface.serve.queries import Options

_Array = NDArray[np.float32]
# A decoded picture and its enlarged and mirrored copies take some 15 bytes a pixel, a run of the network four times
# as much at the least.
_COPIES = 4


class GaveUp(Exception):  # noqa: N818 - no fault of anything
    """The time for a picture is over."""


class Timed:
    """A network that runs no more once its time is over: a thread cannot be ended, but it can end itself.

    The clock is read before each run, so between sizes, the mirrored pass and tiles; what runs is not broken off.
    """

    def __init__(self, session: Session, end: float) -> None:
        self.session, self.end = session, end

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""
        return self.session.spec

    def run(self, images: Input) -> tuple[_Array, _Array, _Array]:
        """See `Session.run`; GaveUp when `end`, by the monotonic clock, has passed."""
        if time.monotonic() > self.end:
            raise GaveUp
        return self.session.run(images)


class Budget:
    """Pixels that all threads together may work on: large pictures wait for each other.

    In turn: otherwise small ones would pass a large one for ever.
    """

    def __init__(self, pixels: int) -> None:
        self.pixels = self._free = pixels
        self._turn, self._change = threading.Lock(), threading.Condition()

    @contextmanager
    def share(self, pixels: int, end: float) -> Iterator[None]:
        """So many of them, or all when there are not so many; GaveUp when `end` comes first."""
        pixels = min(pixels, self.pixels)
        if not self._turn.acquire(timeout=max(0.0, end - time.monotonic())):
            raise GaveUp
        try:
            with self._change:
                if not self._change.wait_for(lambda: self._free >= pixels, max(0.0, end - time.monotonic())):
                    raise GaveUp
                self._free -= pixels
        finally:
            self._turn.release()
        try:
            yield
        finally:
            with self._change:
                self._free += pixels
                self._change.notify_all()


@dataclass(frozen=True)
class Cost:
    """Pixels that looking at a picture takes."""

    largest: int
    """Of the largest picture among those that are made of it, as the network sees it unless cut into tiles."""
    at_once: int
    """As memory counts: of the largest run of the network, or what the pictures take beside small runs."""
    total: int
    """Of all runs together: sizes, mirrored or not, tiles with their overlap."""


def cost_of(size: tuple[int, int], options: Options, multiple: int) -> Cost:
    """What a picture of this width and height costs a network that wants sides in multiples of `multiple`."""
    base = options.long_side / max(size) if options.long_side else 1.0
    largest = run = total = 0
    factors = options.factors()
    for factor in factors or (1.0,):
        columns, rows = (max(1, round(side * (base * factor))) for side in size)
        tile = options.tile
        if tile is None or max(columns, rows) <= tile:
            # A strip one pixel high grows to `multiple` rows.
            seen = filled(columns, multiple) * filled(rows, multiple)
            largest, passed = max(largest, seen), seen
        else:
            overview = filled(tile, multiple) * filled(
                max(1, round(min(columns, rows) * tile / max(columns, rows))), multiple
            )
            part = filled(min(tile, columns), multiple) * filled(min(tile, rows), multiple)
            largest, seen = max(largest, columns * rows), max(overview, part)
            passed = overview + part * len(tile_starts(columns, tile)) * len(tile_starts(rows, tile))
        run = max(run, seen)
        total += passed * (2 if options.flip else 1)
    # As if it stood upright: its EXIF may say so, which is not known yet.
    longer = base * max(size)
    small = overview_scale(longer, longer) if factors is None else None
    if small is not None:
        columns, rows = (filled(max(1, round(side * (base * small))), multiple) for side in size)
        run, total = max(run, columns * rows), total + columns * rows * (2 if options.flip else 1)
    return Cost(largest, max(run, (size[0] * size[1] + largest) // _COPIES), total)
