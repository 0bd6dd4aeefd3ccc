"""What everything around the network costs, suppression alone, and how both grow with the number of faces.

    python benchmarks/core.py --repeats 30 --json core.json

The photo is 640x640 with ten faces, composed of the portraits in examples/ and read from JPEG bytes, as a
photo is. Network alone and whole detection alternate, so that a slow moment of the machine meets both; the
figures are medians, and the overhead is the median of the differences within a turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from featherface import Detector
from featherface.benchmark.run import machine
from featherface.boxes import nms
from featherface.images import read_image, to_input
from featherface.priors import prior_boxes

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIDE, COLUMNS, FACES = 640, 4, 10
CANDIDATES = 5000
GRIDS = (0, 1, 4, 8, 16)
"""Portraits a side of the picture whose faces are counted; 16 make 256 faces of 17 by 22 pixels."""
WARM_UP = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="v2")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, help="of the network; all cores when not given")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()

    detector = Detector(arguments.model, threads=arguments.threads)
    figures = {
        **machine(),
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        **overhead(detector, arguments.repeats),
        **suppression(arguments.repeats),
        "growth": growth(detector, arguments.repeats),
    }
    for name, value in figures.items():
        print(f"{name:32} {value:.3f}" if isinstance(value, float) else f"{name:32} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def overhead(detector: Detector, repeats: int) -> dict[str, Any]:
    """Milliseconds of the network and of all else on the photo, and which step takes how much of that."""
    photo = ten_faces()
    found = detector.detect(photo)
    assert len(found) == FACES, f"{len(found)} faces in a picture of {FACES}"
    picture = read_image(photo)
    images = to_input(picture, detector.session.spec.pad_multiple)
    turns = in_turns(detector, images, photo, repeats)
    network, whole = zip(*turns, strict=True)
    around = statistics.median(w - n for n, w in turns)
    middle = statistics.median(network)
    read = median(lambda: read_image(photo), repeats)
    fill = median(lambda: to_input(picture, detector.session.spec.pad_multiple), repeats)
    return {
        "faces": len(found),
        "network_ms": middle,
        "whole_ms": statistics.median(whole),
        "around_the_network_ms": around,
        "around_share_of_network": around / middle,
        "read_jpeg_ms": read,
        "to_input_ms": fill,
        "decode_and_suppress_ms": around - read - fill,
        "priors_again_ms": median(lambda: build_priors(detector), repeats),
    }


def growth(detector: Detector, repeats: int) -> list[dict[str, float]]:
    """Faces found in a picture of 640x640 full of portraits, and the milliseconds around the network."""
    rows = []
    for grid in GRIDS:
        picture = full_of_faces(grid)
        images = to_input(picture, detector.session.spec.pad_multiple)
        faces = len(detector.detect(picture))
        assert faces or not grid, f"no face found among {grid * grid} portraits, so nothing grows"
        around = statistics.median(w - n for n, w in in_turns(detector, images, picture, repeats))
        rows.append({"portraits": grid * grid, "faces": faces, "around_the_network_ms": around})
    return rows


def full_of_faces(grid: int) -> Any:
    """RGB, `grid` times `grid` portraits; 0 for grey alone."""
    if grid == 0:
        return np.full((SIDE, SIDE, 3), 128, np.uint8)
    # Close around the face: with shoulders, the faces of the largest grid were too small to be found at all.
    portrait = read_image(EXAMPLES / "eileen_collins.jpg")[7:226, 115:334]
    cell = cv2.resize(portrait, (SIDE // grid, SIDE // grid), interpolation=cv2.INTER_AREA)
    return np.tile(cell, (grid, grid, 1))


def in_turns(detector: Detector, images: Any, photo: Any, repeats: int) -> list[tuple[float, float]]:
    """Milliseconds of the network alone on `images` and of the whole detection of `photo`, by turn."""
    turns = [
        (timed(lambda: detector.session.run(images)), timed(lambda: detector.detect(photo)))
        for _ in range(repeats + WARM_UP)
    ]
    return turns[WARM_UP:]


def suppression(repeats: int) -> dict[str, float]:
    """Milliseconds for 5,000 candidates: scattered, and heaped as a network leaves them round ten faces."""
    rng = np.random.default_rng(0)
    scores = rng.random(CANDIDATES, np.float32)
    centres = {
        "scattered": rng.uniform(0, SIDE, (CANDIDATES, 2)),
        "heaped": rng.uniform(0, SIDE, (FACES, 2))[np.arange(CANDIDATES) % FACES]
        + rng.normal(0, 4, (CANDIDATES, 2)),
    }
    figures = {}
    for name, centre in centres.items():
        half = rng.uniform(8, 40, (CANDIDATES, 1)) / 2
        boxes = np.concatenate([centre - half, centre + half], 1).astype(np.float32)
        figures[f"nms_{CANDIDATES}_{name}_ms"] = median(
            lambda boxes=boxes: nms(boxes, scores, 0.4, 750), repeats
        )
    return figures


def ten_faces() -> bytes:
    """A JPEG of 640x640 with ten faces of several sizes."""
    names = ("eileen_collins.jpg", "grace_hopper.jpg")
    portraits = [cv2.imread(str(EXAMPLES / name))[:400, 80:430] for name in names]
    cell = SIDE // COLUMNS
    canvas = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for i in range(FACES):
        y, x = (cell * place for place in divmod(i, COLUMNS))
        side = cell - 8 * (i % 5)
        canvas[y : y + side, x : x + side] = cv2.resize(
            portraits[i % 2], (side, side), interpolation=cv2.INTER_AREA
        )
    return cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def build_priors(detector: Detector) -> Any:
    """The priors of a size that was seen before."""
    return prior_boxes(SIDE, SIDE, detector.session.spec.strides, detector.session.spec.prior_sizes)


def median(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds."""
    return statistics.median([timed(work) for _ in range(repeats + WARM_UP)][WARM_UP:])


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
