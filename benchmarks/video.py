"""`featherface video` on a clip of known faces: speed beside the detector alone, what is found, memory.

    python benchmarks/video.py --data ../shared/data/widerface --frames 300

The clip is composed from photos (pans and zooms, 720p), so every face's path is known; faces under 20 px do not
count. The detector alone runs on as many of the clip's frames, in memory, before and after the command.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clips import tall, write_clip
from featherface import Detector
from featherface.boxes import iou_matrix
from featherface.video import open_video
from featherface.video.compose import Composed

_MATCH = 0.4
_IN_MEMORY = 100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder in the WIDER FACE layout")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip, found = Path(folder) / "clip.mp4", Path(folder) / "found.json"
        truth = write_clip(arguments.data, clip, arguments.frames)
        before = detector_rate(clip)
        command = [sys.executable, "-m", "featherface", "video", str(clip), "--save", f"{folder}/out.mp4"]
        command += ["--json", str(found), "--every", str(arguments.every), "--quiet"]
        seconds, peaks = run(command)
        after = detector_rate(clip)
        frames = json.loads(found.read_text())["frames"]
    alone, whole = (before + after) / 2, len(frames) / seconds
    result = {
        "frames": len(frames),
        "every": arguments.every,
        "frames_per_second": whole,
        "detector_frames_per_second": alone,
        "share": whole / alone,
        "memory_mb_at_half": peaks[len(peaks) // 2],
        "memory_mb_at_end": peaks[-1],
        **tracking(frames, truth),
    }
    for name, value in result.items():
        print(f"{name:28}{value:10.3f}" if isinstance(value, float) else f"{name:28}{value:10}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


def detector_rate(clip: Path) -> float:
    """Frames a second of the detector alone, as the command runs it."""
    with open_video(str(clip)) as reader:
        images = [frame.image for frame, _ in zip(reader.frames(), range(_IN_MEMORY), strict=False)]
    detector = Detector()
    detector.detect(images[0])
    start = time.perf_counter()
    for image in images:
        detector.detect(image)
    return len(images) / (time.perf_counter() - start)


def run(command: list[str]) -> tuple[float, list[float]]:
    """Seconds of the command, and its memory (MB) four times a second."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    held = []
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        held += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")]
        time.sleep(0.25)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return time.perf_counter() - start, held


def tracking(frames: Sequence[dict[str, object]], truth: Sequence[Composed]) -> dict[str, float]:
    """How many true faces are found, and how often a face's track id changes."""
    there = found = switches = 0
    known: dict[int, int] = {}
    for frame, true in zip(frames, truth, strict=True):
        faces = frame["faces"]
        assert isinstance(faces, list)
        boxes = np.array([face["box"] for face in faces], np.float32).reshape(-1, 4)
        overlap = iou_matrix(true.boxes, boxes)
        for i in tall(true):
            there += 1
            if not len(boxes) or overlap[i].max() < _MATCH:
                continue
            found += 1
            face, track = int(true.ids[i]), faces[int(overlap[i].argmax())]["track"]
            if track is not None:
                switches += known.get(face, track) != track
                known[face] = track
    return {
        "faces": there,
        "found": found / max(1, there),
        "tracked_faces": len(known),
        "id_switches_per_1000_faces": 1000 * switches / max(1, found),
    }


if __name__ == "__main__":
    main()
