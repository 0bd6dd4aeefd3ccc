"""Which sightings of faces in a video may be of one face: looked at from the whole video, by place alone.

A tracker sees a video once, forwards, and gives up or starts anew where a face is found only now and then. What
it leaves in pieces is joined here where the pieces lie at one place, or where one would have moved to the other's.
A wrong join hides a little more than it must; a missing one shows a face.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
Sighting = tuple[int, Boxes]
"""A frame and the box (4,) in it."""
Run = list[Sighting]
"""Sightings of one face, by frame."""

# Sightings from which the motion at an end is taken.
MEMORY = 5
# How far apart two boxes' centres may be, in sides of the larger, and how much larger it may be.
_NEAR, _LARGER = 1.0, 2.0
# What counts against a join for being as long as it may: a third of a side. A neighbour who is seen again sooner
# is not to be taken for the face that is seen again where it was.
_WAIT = 0.33


def motion(run: Run, *, at_start: bool) -> Boxes:
    """By how much the box changes from frame to frame at one end of a run: (4,); zero for a single sighting."""
    near, far = (
        (run[0], run[min(MEMORY, len(run) - 1)]) if at_start else (run[-min(MEMORY + 1, len(run))], run[-1])
    )
    return np.asarray((far[1] - near[1]) / np.float32(max(1, far[0] - near[0])), np.float32)


def links(runs: Sequence[Run], gap: int) -> set[tuple[int, int]]:
    """Pairs (earlier, later) of runs, one ending at most `gap` frames before the other begins, of one face.

    Every end has its best start and every start its best end, so that no end stays open for another's sake.
    """
    if not runs:
        return set()
    first = np.array([run[0][0] for run in runs])
    order = np.argsort(first, kind="stable")
    sorted_first = first[order]
    start_boxes = np.stack([runs[i][0][1] for i in order]).astype(np.float32)
    start_motion = np.stack([motion(runs[i], at_start=True) for i in order])
    found: set[tuple[int, int]] = set()
    best_end: dict[int, tuple[float, int]] = {}
    for number, run in enumerate(runs):
        last, box = run[-1]
        window = slice(*np.searchsorted(sorted_first, (last + 1, last + gap + 2)).tolist())
        if window.start == window.stop:
            continue
        steps = (sorted_first[window] - last).astype(np.float32)[:, None]
        there = start_boxes[window]
        moved = box + motion(run, at_start=False) * steps
        came = there - start_motion[window] * steps
        here = np.broadcast_to(box, there.shape)
        far = np.minimum(_distance(here, there), np.minimum(_distance(moved, there), _distance(here, came)))
        cost = np.where(far <= _NEAR, far + _WAIT * steps[:, 0] / (gap + 1), np.inf)
        best = int(cost.argmin())
        if np.isfinite(cost[best]):
            found.add((number, int(order[window.start + best])))
        for place in np.flatnonzero(np.isfinite(cost)).tolist():
            start = int(order[window.start + place])
            best_end[start] = min(best_end.get(start, (np.inf, -1)), (float(cost[place]), number))
    return found | {(end, start) for start, (_, end) in best_end.items()}


def together(one: Run, other: Sighting) -> bool:
    """Whether a sighting lies where the run's last one did, or would by now."""
    last, box = one[-1]
    moved = box + motion(one, at_start=False) * np.float32(other[0] - last)
    boxes = np.stack([box, moved])
    return bool(_distance(boxes, np.stack([other[1]] * 2)).min() <= _NEAR)


def _distance(one: Boxes, other: Boxes) -> NDArray[np.float32]:
    """Of the centres of boxes (N, 4), in sides of the larger; infinite where the sizes do not match."""
    sides = [np.sqrt((b[:, 2:] - b[:, :2]).clip(1e-3).prod(1)) for b in (one, other)]
    larger, smaller = np.maximum(*sides), np.minimum(*sides)
    apart = np.linalg.norm(one[:, :2] + one[:, 2:] - other[:, :2] - other[:, 2:], axis=1) / 2
    return np.asarray(np.where(larger <= _LARGER * smaller, apart / larger, np.inf), np.float32)
