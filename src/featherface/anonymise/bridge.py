"""What must be hidden in every frame of a video, from what was found in some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_Boxes = NDArray[np.float32]
_Ids = NDArray[np.int64]

# Sightings from which a track's motion at its ends is taken.
_MEMORY = 5
UNTRACKED = -1
"""The id of a face that belongs to no track: hidden where it was found, and around it."""


def bridge(found: Sequence[tuple[_Boxes, _Ids]], gap: int, margin: int, near: int = 1) -> list[_Boxes]:
    """The regions (M, 4) to hide in each frame, given each frame's boxes (N, 4) and track ids (N,).

    A track that is lost for at most `gap` frames is filled in between (linearly: backwards as well as
    forwards, which takes a whole video); before its first and after its last sighting it is held for `margin`
    frames, in which the face was there but too blurred, turned or small to be found. A face without a track is
    hidden `near` frames around its own, at most `margin`.
    """
    hidden: list[list[_Boxes]] = [[] for _ in found]
    sightings: dict[int, list[tuple[int, _Boxes]]] = defaultdict(list)
    for frame, (boxes, ids) in enumerate(found):
        for box, track in zip(boxes, ids, strict=True):
            if track == UNTRACKED:
                reach = min(margin, near)
                for other in range(max(0, frame - reach), min(len(found), frame + reach + 1)):
                    hidden[other].append(box)
            else:
                sightings[int(track)].append((frame, box))
    for seen in sightings.values():
        _fill_track(hidden, seen, gap, margin)
    empty = np.zeros((0, 4), np.float32)
    return [np.stack(boxes).astype(np.float32) if boxes else empty for boxes in hidden]


def _fill_track(hidden: list[list[_Boxes]], seen: list[tuple[int, _Boxes]], gap: int, margin: int) -> None:
    """One track, cut where it was lost for longer than the gap: there it may have left the picture."""
    runs = [[seen[0]]]
    for before, after in pairwise(seen):
        if after[0] - before[0] > gap + 1:
            runs.append([])
        runs[-1].append(after)
    for run in runs:
        first, (last, last_box) = run[0][0], run[-1]
        for (start, start_box), (end, end_box) in pairwise(run):
            for frame in range(start, end):
                share = np.float32((frame - start) / (end - start))
                hidden[frame].append(start_box * (1 - share) + end_box * share)
        hidden[last].append(last_box)
        for frame in range(max(0, first - margin), first):
            hidden[frame].append(_extended(run, first - frame, backwards=True))
        for frame in range(last + 1, min(len(hidden), last + 1 + margin)):
            hidden[frame].append(_extended(run, frame - last, backwards=False))


def _extended(run: list[tuple[int, _Boxes]], frames: int, *, backwards: bool) -> _Boxes:
    """Everything between where the track ended and where its last motion would have taken it by now."""
    near, far = (
        (run[0], run[min(_MEMORY, len(run) - 1)])
        if backwards
        else (run[-1], run[-min(_MEMORY, len(run) - 1) - 1])
    )
    steps = abs(far[0] - near[0])
    box = near[1]
    # Never further than the face is large: a motion measured over few frames is not to be trusted for many.
    reach = np.tile(box[2:] - box[:2], 2)
    moved = box + ((box - far[1]) * np.float32(frames / max(1, steps))).clip(-reach, reach)
    return np.concatenate([np.minimum(box[:2], moved[:2]), np.maximum(box[2:], moved[2:])]).astype(np.float32)
