"""Stores a network's outputs and what Python decodes from them: python scripts/store_web_outputs.py [FOLDER].

The page's tests (web/tests/unit/decode.test.ts) decode the same outputs in TypeScript. The stored pair stays a
true example when the weights change; write it again when the outputs' layout or the decoding does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from featherface import Detector
from featherface.atomic import write_bytes, write_text
from featherface.images import read_image, resize, to_input
from featherface.runtime import OnnxSession
from featherface.zoo import find_model

ROOT = Path(__file__).resolve().parents[1]
PHOTO = ROOT / "examples" / "contact_sheet.jpg"
# Small, to keep the file small, and no multiple of 32, so that padding matters.
LONG_SIDE = 300
THRESHOLDS = (0.2, 0.5)


def main(folder: Path) -> None:
    """Write outputs.bin (scores, box deltas, landmark deltas; little-endian float32) and outputs.json."""
    session = OnnxSession(find_model("v2"))
    photo = read_image(PHOTO)
    scale = LONG_SIDE / max(photo.shape[:2])
    picture = resize(photo, round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    images = to_input(picture, session.spec.pad_multiple)
    outputs = session.run(images)
    write_bytes(folder / "outputs.bin", b"".join(np.ascontiguousarray(o, "<f4").tobytes() for o in outputs))
    spec = session.spec
    about = {
        "photo": PHOTO.name,
        "spec": {
            "name": spec.name,
            "strides": spec.strides,
            "prior_sizes": spec.prior_sizes,
            "variances": spec.variances,
            "pad_multiple": spec.pad_multiple,
        },
        "input": {"width": images.shape[3], "height": images.shape[2]},
        "width": picture.shape[1],
        "height": picture.shape[0],
        "expected": [
            {"threshold": least, "faces": Detector(session, score_threshold=least).detect(picture).to_dict()}
            for least in THRESHOLDS
        ],
    }
    write_text(folder / "outputs.json", json.dumps(about) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "web" / "tests" / "unit" / "stored")
