"""Stores networks' outputs and what Python makes of them: python scripts/store_web_outputs.py [FOLDER].

The page's tests (web/tests/unit/decode.test.ts) decode the same outputs in TypeScript. What is stored stays a true
example when the weights change; write it again when the outputs' layout or the decoding does.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface import Detector
from featherface.atomic import write_bytes, write_text
from featherface.images import read_image, resize
from featherface.runtime import OnnxSession
from featherface.runtimes.spec import ModelSpec
from featherface.zoo import find_model

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
# Small, to keep the files small, and no multiple of 32, so that padding matters.
LONG_SIDE = 300
LEAST = 0.05
"""Priors of a lower score are left out: the page decodes none below 0.1."""
Array = NDArray[np.float32]


class Recorder:
    """A session that keeps the size of every input and what the network said to it."""

    def __init__(self, session: OnnxSession) -> None:
        self.session = session
        self.looks: list[tuple[tuple[int, int], list[Array]]] = []

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""
        return self.session.spec

    def run(self, images: Array) -> tuple[Array, Array, Array]:
        """See `Session.run`."""
        outputs = self.session.run(images)
        self.looks.append(((images.shape[3], images.shape[2]), [output[0].copy() for output in outputs]))
        return outputs


@dataclass(frozen=True)
class Case:
    """One stored example."""

    name: str
    model: str
    picture: NDArray[np.uint8]
    thresholds: tuple[float, ...]


def cases() -> list[Case]:
    """Both networks on a small picture, and one tall enough for the second look, at a small copy."""
    sheet = read_image(EXAMPLES / "contact_sheet.jpg")
    scale = LONG_SIDE / max(sheet.shape[:2])
    small = resize(sheet, round(sheet.shape[1] * scale), round(sheet.shape[0] * scale))
    return [
        Case("v2", "v2", small, (0.2, 0.5)),
        Case("nano_b", "nano_b", small, (0.2, 0.5)),
        # At the threshold the page decodes with: voting hears every box that is above it.
        Case("v2_tall", "v2", tall(sheet), (0.1,)),
        Case("nano_b_tall", "nano_b", tall(sheet), (0.1,)),
    ]


def tall(sheet: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1,400 rows: a face that only the small copy shows whole, one that both looks see, some for the first alone."""
    near = read_image(EXAMPLES / "grace_hopper.jpg")[60:390, 110:420]
    middle = read_image(EXAMPLES / "eileen_collins.jpg")[20:200, 100:355]
    picture = np.zeros((1400, 1024, 3), np.uint8)
    picture[:1040] = resize(near, 1024, 1040)
    picture[1040:, :510] = resize(middle, 510, 360)
    picture[1040:, 510:] = sheet[:360, :514]
    return picture


def store(case: Case, folder: Path) -> None:
    """Write NAME.bin (each look's likely priors: number, score, box deltas, landmark deltas; float32) and NAME.json."""
    session = OnnxSession(find_model(case.model))
    recorder = Recorder(session)
    expected = []
    for least in case.thresholds:
        recorder.looks.clear()
        found = Detector(recorder, score_threshold=least).detect(case.picture)
        expected.append({"threshold": least, "faces": found.to_dict()})
    parts, looks = [], []
    for (width, height), (scores, boxes, landmarks) in recorder.looks:
        likely = np.flatnonzero(scores >= LEAST)
        columns = (likely[:, None], scores[likely, None], boxes[likely], landmarks[likely])
        parts.append(np.concatenate(columns, axis=1).astype("<f4"))
        looks.append({"width": width, "height": height, "priors": len(scores), "likely": len(likely)})
    spec = session.spec
    about = {
        "spec": {
            "name": spec.name,
            "strides": spec.strides,
            "prior_sizes": spec.prior_sizes,
            "variances": spec.variances,
            "pad_multiple": spec.pad_multiple,
        },
        "looks": looks,
        "width": case.picture.shape[1],
        "height": case.picture.shape[0],
        "expected": expected,
    }
    write_bytes(folder / f"{case.name}.bin", b"".join(part.tobytes() for part in parts))
    write_text(folder / f"{case.name}.json", json.dumps(about) + "\n")


def main(folder: Path) -> None:
    """Write them all."""
    for case in cases():
        store(case, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "web" / "tests" / "unit" / "stored")
