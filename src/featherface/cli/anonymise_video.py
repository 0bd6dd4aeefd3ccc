"""A video through `featherface anonymise`: one pass to find and follow, one to hide, one to check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from featherface.cli.anonymise import Job, Outcome
    from featherface.cli.inputs import Input
    from featherface.video import Frame

T = TypeVar("T")


def anonymise_video(job: Job, item: Input, target: Path) -> Outcome:
    """See `featherface anonymise`; raises VideoError for what cannot be read or written."""
    from dataclasses import replace

    from featherface.anonymise import bridge
    from featherface.cli.anonymise import Outcome
    from featherface.cli.media import need_video
    from featherface.errors import VideoError

    need_video()
    from featherface.video import is_live

    if is_live(item.path):
        # The second pass would show other frames than the first, under the boxes of those.
        raise VideoError(
            f"{item.path}: videos are read twice, which a stream cannot be; save it to a file first"
        )
    found, times, rate = _find(job, item.path)
    frames = [max(1, round(seconds * rate)) if seconds else 0 for seconds in (job.bridge, job.margin)]
    # Faces that come or go between two looks are only seen at one of them.
    hidden = bridge(found, max(frames[0], job.every - 1), max(frames[1], job.every), near=job.every)
    _hide(job, item.path, target, hidden, times)
    count = sum(len(boxes) for boxes in hidden)
    outcome = Outcome(item.path, str(target), count)
    if not job.check:
        return outcome
    visible, covered = _check(job, target, hidden)
    return replace(outcome, visible=visible, covered=covered)


def _find(
    job: Job, path: str
) -> tuple[list[tuple[NDArray[np.float32], NDArray[np.int64]]], list[int], float]:
    """Boxes and track ids of every frame, their time stamps, and the rate; only these are kept between the passes."""
    from featherface.cli.media import detectors
    from featherface.cli.progress import frames_bar
    from featherface.video import ahead, open_video, tracked_frames

    with open_video(path) as reader, frames_bar("finding", reader.source.frames, job.quiet) as advance:
        found, times = [], []
        with ahead(reader.frames()) as upcoming:
            # Whatever is hidden starts a track, which lasts for as long as it may be bridged.
            start, lost = job.detector.score_threshold, max(1.0, job.bridge)
            # Not mirrored as a photo is, which would take twice as long: the tracks bridge what one look misses.
            detect, at_once = detectors(reader, job.model, start, job.threads)
            for frame, tracked in tracked_frames(
                upcoming, reader.source, detect, job.every, at_once=at_once, start=start, lost=lost
            ):
                found.append((tracked.found.boxes, tracked.ids))
                times.append(frame.pts)
                advance()
        return found, times, float(reader.source.rate)


def _hide(job: Job, path: str, target: Path, hidden: list[NDArray[np.float32]], times: list[int]) -> None:
    from featherface.anonymise import grown, hide
    from featherface.cli.progress import frames_bar
    from featherface.errors import VideoError
    from featherface.video import ahead, open_video, open_writer

    changed = f"{path}: changed while it was read; nothing of it was kept"

    with (
        open_video(path) as reader,
        frames_bar("hiding", len(hidden), job.quiet) as advance,
        open_writer(target, reader, keep_metadata=job.keep_metadata) as writer,
        ahead(reader.frames(writer.copy)) as upcoming,
    ):
        for frame, (boxes, time) in _paired(upcoming, list(zip(hidden, times, strict=True)), changed):
            if frame.pts != time:
                raise VideoError(changed)
            writer.write(frame, hide(frame.image, boxes, job.style), grown(boxes, job.style.grow))
            advance()


def _check(job: Job, target: Path, hidden: list[NDArray[np.float32]]) -> tuple[list[dict[str, object]], int]:
    from featherface.anonymise import check, grown
    from featherface.cli.progress import frames_bar
    from featherface.video import ahead, open_video

    visible: list[dict[str, object]] = []
    covered = 0
    with (
        open_video(str(target)) as reader,
        frames_bar("checking", len(hidden), job.quiet) as advance,
        ahead(reader.frames()) as upcoming,
    ):
        lost = (
            f"{target}: holds other frames than {len(hidden)} that were written, so that it cannot be checked"
        )
        for frame, boxes in _paired(upcoming, hidden, lost):
            seen = check(job.detector, frame.image, grown(boxes, job.style.grow))
            visible += [{"frame": frame.index, **face} for face in seen.visible.to_dict()]
            covered += len(seen.covered)
            advance()
    return visible, covered


def _paired(frames: Iterator[Frame], each: Sequence[T], otherwise: str) -> Iterator[tuple[Frame, T]]:
    """Each frame with what is known of it; VideoError, before the first that nothing is known of, when their numbers
    differ."""
    from featherface.errors import VideoError

    count = 0
    for frame in frames:
        if count == len(each):
            raise VideoError(otherwise)
        yield frame, each[count]
        count += 1
    if count < len(each):
        raise VideoError(otherwise)
