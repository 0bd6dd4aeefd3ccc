"""Which face is which from frame to frame: the only file that knows the tracking library.

ByteTrack (Zhang 2022) as in Roboflow's `trackers`, to which supervision moved its own: Apache-2.0, maintained,
numpy and scipy only at run time. ByteTrack needs no second network: faces in a video overlap from one frame to
the next, and its second round picks up faces whose score drops while they turn or blur. It counts frames: where
the frame rate varies, seconds are those of the average rate, and a face is still expected in the next frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featherface.detections import Detections
from featherface.errors import MissingExtraError
from featherface.video.look import looked_at
from featherface.video.read import Frame, Source

UNTRACKED = -1
"""The id of a face that belongs to no track (yet)."""


@dataclass(frozen=True, eq=False)
class Tracked:
    """The faces of one frame and whose they are."""

    found: Detections
    ids: NDArray[np.int64]
    """(N,): a number from 0 that a face keeps, or UNTRACKED."""
    seen: bool = True
    """Whether the detector looked at this frame; otherwise the faces lie between those of its neighbours."""


class Tracker:
    """Follows the faces of one video. MissingExtraError when the library is not installed.

    A face of score `start` or more starts a track, which survives `lost` seconds without being seen.
    """

    def __init__(self, rate: float, *, start: float = 0.5, lost: float = 1.0) -> None:
        try:
            from trackers import ByteTrackTracker
        except ImportError as error:
            raise MissingExtraError("trackers", "video") from error
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(lost * 30),  # it counts at 30 frames a second, whatever the rate
            frame_rate=max(rate, 1.0),
            track_activation_threshold=start,
            minimum_consecutive_frames=1,
            minimum_iou_threshold=0.1,
            high_conf_det_threshold=start,
        )

    def update(self, found: Detections) -> NDArray[np.int64]:
        """The ids (N,) of the next frame's faces, in their order."""
        detections = found.to_supervision()
        detections.data = {"row": np.arange(len(found))}
        result = self._tracker.update(detections)
        ids = np.full(len(found), UNTRACKED, np.int64)
        if len(result):
            ids[np.asarray(result.data["row"], int)] = np.asarray(result.tracker_id, np.int64)
        return ids


def tracked_frames(
    frames: Iterator[Frame],
    source: Source,
    detect: Callable[[Frame], Detections],
    every: int = 1,
    *,
    at_once: int = 1,
    start: float = 0.5,
    lost: float = 1.0,
) -> Iterator[tuple[Frame, Tracked]]:
    """Each frame with its faces; `detect` looks at every `every`th one and at the last, in `at_once` threads.

    `start` and `lost` as in `Tracker`. Between two looks a track's faces are put on the straight line from one to
    the other, for which that many frames are held back.
    """
    tracker = Tracker(float(source.rate) / every, start=start, lost=lost)
    before: Tracked | None = None
    waiting: list[Frame] = []
    for frame, found in looked_at(frames, detect, every, at_once):
        waiting.append(frame)
        if found is None:
            continue
        look = Tracked(found, tracker.update(found))
        yield from _settled(before, waiting, look)
        before, waiting = look, []


def _settled(before: Tracked | None, waiting: list[Frame], last: Tracked) -> Iterator[tuple[Frame, Tracked]]:
    for step, frame in enumerate(waiting[:-1], 1):
        assert before is not None  # the first frame is always looked at
        yield frame, between(before, last, step / len(waiting))
    yield waiting[-1], last


def between(before: Tracked, after: Tracked, share: float) -> Tracked:
    """The faces that both have, `share` of the way from one to the other."""
    ids, i, j = np.intersect1d(before.ids, after.ids, return_indices=True)
    i, j = i[ids != UNTRACKED], j[ids != UNTRACKED]
    one, other = before.found, after.found
    boxes = one.boxes[i] * np.float32(1 - share) + other.boxes[j] * np.float32(share)
    points = one.landmarks[i] * np.float32(1 - share) + other.landmarks[j] * np.float32(share)
    scores = np.minimum(one.scores[i], other.scores[j])
    order = np.argsort(-scores, kind="stable")  # as Detections will sort them
    found = Detections(boxes, scores, points, one.width, one.height)
    return Tracked(found, ids[ids != UNTRACKED][order].astype(np.int64), seen=False)
