"""Frames through the detector, several at once, in the order of the video.

A network of half a million weights does not keep several cores busy: parts of a run wait for one another, and its
threads fight with decoding and encoding. Several runs of one thread each do the same work in less time.
"""

from __future__ import annotations

import os
import queue
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.errors import FeatherFaceError
from featherface.video.read import Frame

_AT_ONCE = 4
# A run of V2 takes about 70 bytes of memory a pixel.
_PIXELS_AT_ONCE = 4 * 1920 * 1088


def shared_out(pixels: int, threads: int | None = None) -> tuple[int, int]:
    """How many pictures of so many pixels to look at at once, and with how many threads each.

    `threads` in all; as many as this process may use cores unless told otherwise.
    """
    if threads is None:
        may_use = getattr(os, "sched_getaffinity", None)
        threads = len(may_use(0)) if may_use else os.cpu_count() or 1
    at_once = max(1, min(threads, _AT_ONCE, _PIXELS_AT_ONCE // max(1, pixels)))
    return at_once, max(1, threads // at_once)


class Detectors:
    """As many equal detectors as are called at once: each keeps its own threads.

    The first is made at once, so that what is wrong with the model is raised here; the others when needed.
    """

    def __init__(self, make: Callable[[], Detector]) -> None:
        self._make = make
        self._free: queue.LifoQueue[Detector] = queue.LifoQueue()
        self._free.put(make())

    def detect(self, frame: Frame, long_side: int | None = None) -> Detections:
        """See `Detector.detect`; may be called from several threads."""
        try:
            detector = self._free.get_nowait()
        except queue.Empty:
            detector = self._make()
        try:
            return detector.detect(frame.image, long_side=long_side)
        finally:
            self._free.put(detector)


def looked_at(
    frames: Iterator[Frame], detect: Callable[[Frame], Detections], every: int, at_once: int
) -> Iterator[tuple[Frame, Detections | None]]:
    """Each frame, in order, with its faces: of every `every`th one and of the last, None for the others.

    `detect` is called from `at_once` threads; twice as many frames are held back for it. When the frames end with
    an error, those before it come first.
    """
    held: deque[tuple[Frame, Future[Detections] | None]] = deque()
    failures: list[FeatherFaceError] = []
    pool = ThreadPoolExecutor(at_once, "look")
    try:
        for frame in _until_failure(frames, failures):
            held.append((frame, None if frame.index % every else pool.submit(detect, frame)))
            while len(held) > 2 * at_once or _is_ready(held):
                yield _settled(*held.popleft())
        if held and held[-1][1] is None:
            last = held.pop()[0]
            held.append((last, pool.submit(detect, last)))
        while held:
            yield _settled(*held.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
    if failures:
        raise failures[0]


def _until_failure(frames: Iterator[Frame], failures: list[FeatherFaceError]) -> Iterator[Frame]:
    try:
        yield from frames
    except FeatherFaceError as error:
        failures.append(error)


def _is_ready(held: deque[tuple[Frame, Future[Detections] | None]]) -> bool:
    """Whether the first need not wait; one that may be the last has yet to be looked at."""
    if not held:
        return False
    future = held[0][1]
    return len(held) > 1 if future is None else future.done()


def _settled(frame: Frame, future: Future[Detections] | None) -> tuple[Frame, Detections | None]:
    return frame, None if future is None else future.result()
