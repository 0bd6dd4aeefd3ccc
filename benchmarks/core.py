"""What `featherface detect` costs beside the network: decoding, start-up, memory.

    python benchmarks/core.py [--json FILE]

Run it on an otherwise idle machine; every figure is of one thread and says what it is.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from featherface import Detector
from featherface.boxes import nms
from featherface.images import read_image, resize
from featherface.priors import prior_boxes

ROOT = Path(__file__).resolve().parents[1]
SHEET = ROOT / "examples" / "contact_sheet.jpg"
REPEATS = 30
CHILD = """
import resource, sys
from featherface.cli import main
sys.argv = ["featherface", *{arguments!r}]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def main() -> None:
    """Measure all and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    measured = {**overhead(), **suppression(), **startup()}
    with tempfile.TemporaryDirectory() as folder:
        measured |= memory(Path(folder))
    for name, value in measured.items():
        print(f"{name:62s} {value:10.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def best(run: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median of the seconds that a call takes, after two that do not count."""
    times = []
    for turn in range(repeats + 2):
        start = time.perf_counter()
        run()
        if turn >= 2:
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def overhead() -> dict[str, float]:
    """Everything but the network on a 640x640 photo with about ten faces: from file to Detections."""
    image = resize(read_image(SHEET)[:, 250:890], 640, 640)
    faces = len(Detector(threads=1).detect(image))
    _, coded = cv2.imencode(".jpg", image[..., ::-1])
    data, detector = coded.tobytes(), Detector(threads=1)
    session = detector.session
    spent = [0.0]
    run = session.run

    def timed(images):  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        out = run(images)
        spent[0] += time.perf_counter() - start
        return out

    session.run = timed  # type: ignore[method-assign]
    network, rest = [], []
    for turn in range(REPEATS + 2):
        spent[0], start = 0.0, time.perf_counter()
        detector.detect(data)
        whole = time.perf_counter() - start
        if turn >= 2:
            network.append(spent[0])
            rest.append(whole - spent[0])
    return {
        f"640x640 photo, {faces} faces: network, ms": float(np.median(network)) * 1000,
        f"640x640 photo, {faces} faces: all the rest, ms": float(np.median(rest)) * 1000,
        "the rest over the network": float(np.median(rest) / np.median(network)),
    }


def suppression() -> dict[str, float]:
    """NMS of 5,000 candidates in crowds of different density, and the priors of a size seen before."""
    out = {}
    rng = np.random.default_rng(0)
    for faces in (100, 500, 5000):
        centres = rng.uniform(0, 1000, (faces, 2))[rng.integers(0, faces, 5000)] + rng.normal(0, 2, (5000, 2))
        half = rng.uniform(8, 30, (5000, 1))
        boxes = np.hstack([centres - half, centres + half]).astype(np.float32)
        scores = rng.uniform(0.02, 1, 5000).astype(np.float32)
        out[f"NMS of 5,000 candidates around {faces:,} faces, 750 kept at most, ms"] = (
            best(lambda b=boxes, s=scores: nms(b, s, 0.4, 750)) * 1000
        )
    strides, sizes = (8, 16, 32), ((16, 32), (64, 128), (256, 512))
    out["prior boxes of a size seen before, ms"] = best(lambda: prior_boxes(640, 640, strides, sizes)) * 1000
    return out


def startup() -> dict[str, float]:
    """Import time over that of numpy, OpenCV and ONNX Runtime, and one photo from process start to table."""
    code = "import time; import numpy, cv2, onnxruntime; start = time.perf_counter(); import featherface; "
    code += "print(time.perf_counter() - start)"
    imports = [float(subprocess.check_output([sys.executable, "-c", code])) for _ in range(7)]
    photo = str(ROOT / "examples" / "eileen_collins.jpg")
    command = [sys.executable, "-c", "from featherface.cli import main; main()", "detect", photo]
    seconds = best(lambda: subprocess.run(command, check=True, capture_output=True), 7)
    return {
        "import featherface over its three libraries, s": float(np.median(imports)),
        "featherface detect of one 512x512 photo, whole process, s": seconds,
    }


def memory(folder: Path) -> dict[str, float]:
    """Peak resident memory of `featherface detect`, in megabytes (10^6 bytes), and seconds for large photos."""
    photo = read_image(SHEET)
    out = {}
    for title, width, height, options in (
        ("512x512", 512, 512, []),
        ("1920x1080", 1920, 1080, []),
        ("12 megapixels", 4000, 3000, []),
        ("100 megapixels, --tile 1280", 11548, 8660, ["--tile", "1280"]),
    ):
        file = folder / f"{width}.jpg"
        wide = np.tile(photo, (-(-height // photo.shape[0]), -(-width // photo.shape[1]), 1))[:height, :width]
        cv2.imwrite(str(file), wide[..., ::-1])
        del wide
        code = CHILD.format(arguments=["detect", str(file), "--quiet", *options])
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        out[f"detect {title}: seconds"] = time.perf_counter() - start
        out[f"detect {title}: peak memory, MB"] = int(done.stderr.split()[-1]) * 1024 / 1e6
    return out


if __name__ == "__main__":
    main()
