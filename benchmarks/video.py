"""`featherface video` on a clip of known faces: speed beside the detector alone, what is found, memory.

    python benchmarks/video.py --data ../shared/data/widerface --frames 500
    python benchmarks/video.py --data ../shared/data/widerface --frames 10000 --memory
    python benchmarks/video.py --data ../shared/data/widerface --frames 10000 --memory --anonymise

The clip is composed from photos (pans and zooms, 720p), so every face's path is known; faces under 20 px do not
count. The detector alone, at its defaults, runs on 100 of the clip's frames, decoded before, in memory, before and
after the command; the command's time is that of the whole process. --memory: only the memory, on a long clip of
320x180 with sound, of `featherface video` or, with --anonymise, of `featherface anonymise`. --json keeps what the
other kind of run wrote.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from composed_clips import tall, write_clip
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
    parser.add_argument("--memory", action="store_true", help="measure only memory, on a small clip")
    parser.add_argument("--anonymise", action="store_true", help="with --memory: of that command")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure = speed if not arguments.memory else memory_anonymised if arguments.anonymise else memory
        result = measure(Path(folder), arguments.data, arguments.frames, arguments.every)
    for name, value in result.items():
        print(f"{name:32}{value:10.3f}" if isinstance(value, float) else f"{name:32}{value:10}")
    if arguments.json:
        known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        arguments.json.write_text(json.dumps({**known, **result}, indent=1) + "\n")


def speed(folder: Path, data: Path, count: int, every: int) -> dict[str, float]:
    """The command beside the detector alone, and what it found."""
    clip, found = folder / "clip.mp4", folder / "found.json"
    truth = write_clip(data, clip, count)
    before = detector_alone(clip)
    done = run(clip, folder, "--json", str(found), "--every", str(every))
    after = detector_alone(clip)
    frames = json.loads(found.read_text())["frames"]
    alone, whole = (before[0] + after[0]) / 2, len(frames) / done.seconds
    return {
        "frames": len(frames),
        "every": every,
        "frames_per_second": whole,
        "detector_frames_per_second": alone,
        "share": whole / alone,
        "cpu_ms": 1000 * done.cpu_seconds / len(frames),
        "detector_cpu_ms": (before[1] + after[1]) / 2,
        "memory_mb": max(done.memory_mb),
        **tracking(frames, truth),
    }


def memory(folder: Path, data: Path, count: int, every: int) -> dict[str, float]:
    """The most that was held in the second tenth of a long run and in its last."""
    clip = folder / "clip.mp4"
    write_clip(data, clip, count, 320, 180, sound=True)
    held = run(clip, folder, "--json", str(folder / "found.json"), "--every", str(every)).memory_mb
    tenth = max(1, len(held) // 10)
    return {
        "memory_frames": count,
        "memory_mb_early": max(held[tenth : 2 * tenth]),
        "memory_mb_late": max(held[-tenth:]),
    }


def memory_anonymised(folder: Path, data: Path, count: int, every: int) -> dict[str, float]:
    """The most that was held over both passes, for a tenth of the frames and for all."""
    peaks = []
    for frames in (max(1, count // 10), count):
        clip, target = folder / f"{frames}.mp4", folder / str(frames)
        write_clip(data, clip, frames, 320, 180, sound=True)
        done = started("anonymise", clip, "--save", str(target), "--every", str(every), "--quiet")
        peaks.append(max(done.memory_mb))
    return {"anonymised_frames": count, "anonymised_mb_of_a_tenth": peaks[0], "anonymised_mb": peaks[1]}


def detector_alone(clip: Path) -> tuple[float, float]:
    """Frames a second of the detector as it comes, and the CPU's milliseconds a frame."""
    with open_video(str(clip)) as reader:
        images = [frame.image for frame, _ in zip(reader.frames(), range(_IN_MEMORY), strict=False)]
    detector = Detector()
    detector.detect(images[0])
    start, cpu = time.perf_counter(), time.process_time()
    for image in images:
        detector.detect(image)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return len(images) / seconds, 1000 * cpu / len(images)


@dataclass(frozen=True)
class Run:
    """What a run of the command took."""

    seconds: float
    cpu_seconds: float
    memory_mb: list[float]
    """Four times a second."""


def run(clip: Path, folder: Path, *options: str) -> Run:
    """One run of `featherface video` that writes a video beside the clip."""
    return started("video", clip, "--save", str(folder / "out.mp4"), *options, "--quiet")


def started(name: str, clip: Path, *options: str) -> Run:
    """One run of a command; the benchmark ends when it fails."""
    command = [sys.executable, "-m", "featherface", name, str(clip), *options]
    start, cpu = time.perf_counter(), _children()
    process = subprocess.Popen(command)
    held = []
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        held += [int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")]
        time.sleep(0.25)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return Run(time.perf_counter() - start, _children() - cpu, held)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
