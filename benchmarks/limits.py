"""Whom a model misses: AP by face height on validation pictures, recall by pose and sharpness on training pictures.

    python benchmarks/limits.py --data ../shared/data/widerface --models v2,nano_b --json docs/numbers/limits.json

WIDER FACE's validation labels say nothing of pose or blur. The training labels hold landmarks, from which a face's
turn and tilt follow, and a figure for sharpness, so those parts are measured on pictures that the model was trained
on: the figures are too good, their differences are what counts. A face is found where a detection of score 0.5
and more meets it at IoU 0.5; only faces of 24 to 160 pixels count, so that size does not stand in for pose.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from featherface import Detector
from featherface.boxes import iou_matrix
from featherface.evaluate.beyond import look_beyond
from featherface.evaluate.protocol import protocol
from featherface.evaluate.run import detect_set, load_set, to_predictions

LOW, HIGH = 24, 160
TURNS = (
    (0.0, 0.15, "towards the camera"),
    (0.15, 0.35, "turned somewhat"),
    (0.35, np.inf, "turned far, to a profile"),
)
TILTS = (
    (0, 10, "upright (tilted under 10 degrees)"),
    (10, 25, "10 to 25 degrees"),
    (25, 181, "over 25 degrees"),
)
SHARP = (
    (0.0, 0.35, "blurred (the labels' figure under 0.35)"),
    (0.35, 0.5, "between"),
    (0.5, 1.01, "sharp (over 0.5)"),
)
_Floats = NDArray[np.float64]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder in the WIDER FACE layout, with train/"
    )
    parser.add_argument("--models", default="v2,nano_b")
    parser.add_argument("--pictures", type=int, default=1000, help="training pictures, evenly spread")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    labelled = list(labels(arguments.data / "train"))
    chosen = [labelled[i] for i in np.linspace(0, len(labelled) - 1, arguments.pictures).round().astype(int)]
    results = {name: measure(name, arguments.data, chosen) for name in arguments.models.split(",")}
    print(json.dumps(results, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def measure(model: str, data: Path, labelled: list[tuple[Path, _Floats]]) -> dict[str, object]:
    """AP by height on the validation pictures, recall by class on the training pictures."""
    pictures = load_set(data)
    found = detect_set(model, pictures.paths, protocol("original"))
    rows = to_predictions(found, pictures.truths)
    heights = {
        part.name: {"faces": part.faces, "ap": part.ap}
        for part in look_beyond(rows, pictures.truths).by_height
    }

    detector = Detector(model, threads=1)
    tallies: dict[str, list[bool]] = defaultdict(list)
    with ThreadPoolExecutor(2) as pool:
        boxes = pool.map(lambda pair: detector.detect(pair[0]).boxes, labelled)
        for (_, faces), there in track(zip(labelled, boxes, strict=True), model, total=len(labelled)):
            corners = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:4]], 1).astype(np.float32)
            met = iou_matrix(corners, there).max(1, initial=0.0) >= 0.5
            for face, hit in zip(faces, met, strict=True):
                for name in classes(face):
                    tallies[name].append(bool(hit))
    order = [name for group in (TURNS, TILTS, SHARP) for _, _, name in group]
    recall = {name: {"faces": len(tallies[name]), "recall": float(np.mean(tallies[name]))} for name in order}
    return {"by_height": heights, "training_pictures": len(labelled), "recall": recall}


def labels(folder: Path) -> Iterator[tuple[Path, _Floats]]:
    """Pictures and their faces (N, 20): x, y, w, h, five times x, y, flag, and sharpness."""
    picture, faces = None, []
    for line in [*(folder / "label.txt").read_text().splitlines(), "# "]:
        if not line.startswith("#"):
            faces.append([float(value) for value in line.split()])
            continue
        if picture is not None and faces:
            yield picture, np.array(faces)
        picture, faces = folder / "images" / line[1:].strip(), []


def classes(face: _Floats) -> Iterator[str]:
    """The classes that a labelled face belongs to; none without landmarks, or when it is too small or too large."""
    points = face[4:19].reshape(5, 3)
    if not LOW <= face[3] <= HIGH or (points < 0).any():
        return
    left, right, nose = points[:3, :2]
    eyes = right - left
    turn = abs(((nose - (left + right) / 2) * eyes).sum()) / max(float((eyes**2).sum()), 1.0)
    tilt = abs(np.degrees(np.arctan2(eyes[1], eyes[0])))
    for value, group in ((turn, TURNS), (tilt, TILTS), (face[19], SHARP)):
        yield from (name for low, high, name in group if low <= value < high)


if __name__ == "__main__":
    main()
