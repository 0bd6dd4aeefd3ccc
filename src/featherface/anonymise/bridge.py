"""What must be hidden in every frame of a video, from what was found in some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from featherface.anonymise.link import Boxes, Run, Sighting, links, motion, together

_Ids = NDArray[np.int64]

UNTRACKED = -1
"""The id of a face that belongs to no track."""


def bridge(found: Sequence[tuple[Boxes, _Ids]], gap: int, margin: int, near: int = 1) -> list[Boxes]:
    """The regions (M, 4) to hide in each frame, given each frame's boxes (N, 4) and track ids (N,).

    A track that is lost for at most `gap` frames is filled in between (linearly: backwards as well as
    forwards, which takes a whole video), and so is the gap between the end of one track, or a face without one,
    and the next at the same place. Before its first and after its last sighting a face is held for `margin`
    frames, in which it was there but too blurred, turned or small to be found. A face that was found only once is
    hidden `near` frames around that one, at most `margin`.
    """
    hidden: list[list[Boxes]] = [[] for _ in found]
    runs: list[Run] = []
    tracks: dict[int, Run] = defaultdict(list)
    for frame, (boxes, ids) in enumerate(found):
        for box, track in zip(boxes, ids, strict=True):
            if track == UNTRACKED:
                runs.append([(frame, box)])
            else:
                tracks[int(track)].append((frame, box))
    for seen in tracks.values():
        _fill(hidden, seen, gap)
        runs += _pieces(seen, gap)
    joined = links(runs, gap)
    before, after = {later: earlier for earlier, later in joined}, dict(joined)
    for earlier, later in joined:
        _fill(hidden, [runs[earlier][-1], runs[later][0]], gap)
    for number, run in enumerate(runs):
        for frame, box in run:
            hidden[frame].append(box)
        once = len(run) == 1 and number not in before and number not in after
        _hold(hidden, run, min(margin, near) if once else margin, number in before, number in after)
    empty = np.zeros((0, 4), np.float32)
    return [np.stack(boxes).astype(np.float32) if boxes else empty for boxes in hidden]


def _pieces(seen: Run, gap: int) -> list[Run]:
    """One track, cut where it was lost for longer than the gap: there it may have left the picture.

    And where it jumps: there the tracker may have taken one face for another, and the first may come back.
    """
    pieces = [[seen[0]]]
    for before, after in pairwise(seen):
        if after[0] - before[0] > gap + 1 or not together(pieces[-1], after):
            pieces.append([])
        pieces[-1].append(after)
    return pieces


def _fill(hidden: list[list[Boxes]], seen: Run, gap: int) -> None:
    """The frames between two sightings, on the straight line, when they are no more than the gap."""
    for (start, start_box), (end, end_box) in pairwise(seen):
        for frame in range(start + 1, end if end - start <= gap + 1 else start):
            share = np.float32((frame - start) / (end - start))
            hidden[frame].append(start_box * (1 - share) + end_box * share)


def _hold(hidden: list[list[Boxes]], run: Run, margin: int, known_before: bool, known_after: bool) -> None:
    """The frames before and after a run, as far as it is not known where the face was then."""
    first, last = run[0], run[-1]
    if not known_before:
        for frame in range(max(0, first[0] - margin), first[0]):
            hidden[frame].append(_extended(first, motion(run, at_start=True), frame))
    if not known_after:
        for frame in range(last[0] + 1, min(len(hidden), last[0] + 1 + margin)):
            hidden[frame].append(_extended(last, motion(run, at_start=False), frame))


def _extended(sighting: Sighting, step: Boxes, frame: int) -> Boxes:
    """Everything between where a face was seen and where its motion would have it in another frame."""
    seen_in, box = sighting
    # Never further than the face is large: a motion measured over few frames is not to be trusted for many.
    reach = np.tile(box[2:] - box[:2], 2)
    moved = box + (step * np.float32(frame - seen_in)).clip(-reach, reach)
    return np.concatenate([np.minimum(box[:2], moved[:2]), np.maximum(box[2:], moved[2:])]).astype(np.float32)
