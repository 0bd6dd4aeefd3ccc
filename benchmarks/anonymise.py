"""`featherface anonymise` beside deface, both at their defaults: faces left visible, frames a second.

    pip install deface     # in an environment of its own
    python benchmarks/anonymise.py --data ../shared/data/widerface --deface .deface/bin/deface --frames 300 --clips 5

The clips are composed from photos (pans and zooms, 720p), so every face's path is known; faces under 20 px do not
count. A third row is ours without bridging and margins: each frame for itself. A face counts as visible where its fine
detail is still there: inside the ellipse that its box holds, what a blur of a sixteenth of the box takes away from the
result correlates with the same of the original by more than a half. The corners of the box do not count: they hold
what is behind the face, which both tools leave as it is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from composed_clips import tall, write_clip
from featherface.images import Image
from featherface.video import open_video
from featherface.video.compose import Composed

_SIDE, _SIGMA, _SAME = 64, 4, 0.5
_FACE = cv2.ellipse(
    np.zeros((_SIDE, _SIDE), np.uint8), (_SIDE // 2, _SIDE // 2), (_SIDE // 2, _SIDE // 2), 0, 0, 360, 1, -1
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder in the WIDER FACE layout")
    parser.add_argument("--deface", type=Path, help="deface's executable; without it only ours is measured")
    parser.add_argument("--frames", type=int, default=300, help="of each clip")
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: dict[str, list[Left]] = {}
    for number in range(arguments.clips):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            truth = write_clip(
                arguments.data, place / "clip.mp4", arguments.frames, clip=number, clips=arguments.clips
            )
            for name, (command, result) in tools(arguments.deface).items():
                results.setdefault(name, []).append(run(command, place, result, truth))
                print(f"clip {number + 1}, {name}: {results[name][-1].visible} visible", file=sys.stderr)
    rows = {name: summed(clips) for name, clips in results.items()}
    print("| tool | faces | visible per 1,000 frames | frames with a visible face | frames a second |")
    print("|---|---|---|---|---|")
    for name, row in rows.items():
        print(
            f"| {name} | {row['faces']:,} | {row['visible_per_1000_frames']:.0f} "
            f"| {row['frames_with_a_visible_face']:.1%} | {row['frames_per_second']:.1f} |"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


@dataclass(frozen=True)
class Left:
    """What a tool left of one clip."""

    faces: int
    visible: int
    frames: int
    frames_with_a_visible_face: int
    seconds: float


def tools(deface: Path | None) -> dict[str, tuple[list[str], str]]:
    """What each is called with, in the clip's folder, and what it writes."""
    ours = [sys.executable, "-m", "featherface", "anonymise", "clip.mp4", "--save"]
    found = {
        "featherface": ([*ours, "ours"], "ours/clip.mp4"),
        "featherface, no bridge, no margin": (
            [*ours, "bare", "--bridge", "0", "--margin", "0"],
            "bare/clip.mp4",
        ),
    }
    if deface:
        found["deface"] = ([str(deface.absolute()), "clip.mp4", "--output", "deface.mp4"], "deface.mp4")
    return found


def run(command: Sequence[str], place: Path, result: str, truth: Sequence[Composed]) -> Left:
    """One tool on the clip of this folder."""
    start = time.perf_counter()
    subprocess.run(command, cwd=place, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    return Left(*left(place / "clip.mp4", place / result, truth), seconds)


def summed(clips: Sequence[Left]) -> dict[str, object]:
    """The figures of all clips together, and how many faces each of them left."""
    frames = sum(clip.frames for clip in clips)
    return {
        "faces": sum(clip.faces for clip in clips),
        "visible_per_1000_frames": 1000 * sum(clip.visible for clip in clips) / frames,
        "frames_with_a_visible_face": sum(clip.frames_with_a_visible_face for clip in clips) / frames,
        "frames_per_second": frames / sum(clip.seconds for clip in clips),
        "visible_by_clip": [clip.visible for clip in clips],
    }


def left(clip: Path, result: Path, truth: Sequence[Composed]) -> tuple[int, int, int, int]:
    """How many of the true faces can still be seen in the result: faces, visible ones, frames, frames with one."""
    there = visible = frames = 0
    with open_video(str(clip)) as before, open_video(str(result)) as after:
        for old, new, true in zip(before.frames(), after.frames(), truth, strict=True):
            seen = [is_visible(old.image, new.image, true.boxes[i]) for i in tall(true)]
            there, visible, frames = there + len(seen), visible + sum(seen), frames + any(seen)
    return there, visible, len(truth), frames


def is_visible(before: Image, after: Image, box: NDArray[np.float32]) -> bool:
    """Whether the detail of the face in the box is still that of the original."""
    old, new = (_detail(image, box) for image in (before, after))
    size = float(np.linalg.norm(old)) * float(np.linalg.norm(new))
    return size > 0 and float((old * new).sum()) / size > _SAME


def _detail(image: Image, box: NDArray[np.float32]) -> NDArray[np.float32]:
    left, top, right, bottom = box.round().astype(int)
    part = image[max(top, 0) : max(bottom, top + 1), max(left, 0) : max(right, left + 1)]
    grey = cv2.resize(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE)).astype(np.float32)
    return np.asarray((grey - cv2.GaussianBlur(grey, (0, 0), _SIGMA)) * _FACE, np.float32)


if __name__ == "__main__":
    main()
