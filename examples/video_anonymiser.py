"""Hide the faces in a video, but for people who agreed to be seen. Needs the video extra.

    python examples/video_anonymiser.py clip.mp4 hidden.mp4               prints whose face is seen when
    python examples/video_anonymiser.py clip.mp4 hidden.mp4 --keep 0 3    leaves tracks 0 and 3 as they are

A track is one face for as long as it stays in sight; somebody who leaves and comes back gets a new number. A face
without a track, as each is for its first frame or two, is hidden: nobody knows yet whose it is. For photos, metadata
and a check of the result see `featherface anonymise`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface import Detector
from featherface.anonymise import Style, bridge, grown, hide
from featherface.anonymise.look import THRESHOLD
from featherface.video import UNTRACKED, open_video, open_writer, tracked_frames

Found = list[tuple[NDArray[np.float32], NDArray[np.int64]]]
"""Boxes (N, 4) and track ids (N,) of each frame."""


def main() -> None:
    """One pass to find, one to hide."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video")
    parser.add_argument("output", type=Path)
    parser.add_argument("--keep", type=int, nargs="*", default=[], metavar="TRACK")
    parser.add_argument("--method", choices=["blur", "pixelate", "solid"], default="pixelate")
    parser.add_argument("--seconds", type=float, default=0.5, help="hidden before, after and between sights")
    arguments = parser.parse_args()

    found, rate = find(arguments.video)
    for track, frames in sorted(sights(found).items()):
        first, last = frames[0] / rate, frames[-1] / rate
        print(
            f"track {track}\t{first:.1f} to {last:.1f} s\t{'kept' if track in arguments.keep else 'hidden'}"
        )
    around = max(1, round(arguments.seconds * rate))
    write(
        arguments.video,
        arguments.output,
        bridge(without(found, arguments.keep), around, around),
        arguments.method,
    )


def find(video: str) -> tuple[Found, float]:
    """What is where in each frame, and frames a second. The low score hides a poster rather than show a face."""
    detector = Detector(score_threshold=THRESHOLD)
    with open_video(video) as reader:
        frames = tracked_frames(
            reader.frames(),
            reader.source,
            lambda frame: detector.detect(frame.image),
            start=THRESHOLD,
        )
        found = [(tracked.found.boxes, tracked.ids) for _, tracked in frames]
        return found, float(reader.source.rate)


def sights(found: Found) -> dict[int, list[int]]:
    """The frames in which each track is seen."""
    frames: dict[int, list[int]] = defaultdict(list)
    for number, (_, ids) in enumerate(found):
        for track in ids[ids != UNTRACKED]:
            frames[int(track)].append(number)
    return frames


def without(found: Found, kept: Iterable[int]) -> Found:
    """All but the faces of some tracks."""
    chosen = [~np.isin(ids, list(kept)) for _, ids in found]
    return [(boxes[there], ids[there]) for (boxes, ids), there in zip(found, chosen, strict=True)]


def write(video: str, output: Path, hidden: list[NDArray[np.float32]], method: str) -> None:
    """The video again, sound and all but its metadata, with these boxes covered in each frame."""
    style = Style(method)  # type: ignore[arg-type]  # the command line knows the names
    with open_video(video) as reader, open_writer(output, reader, keep_metadata=False) as writer:
        for frame, boxes in zip(reader.frames(writer.copy), hidden, strict=True):
            writer.write(frame, hide(frame.image, boxes, style), grown(boxes, style.grow))


if __name__ == "__main__":
    main()
