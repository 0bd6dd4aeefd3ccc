"""What a fresh process costs: import time, `featherface detect` from start to table, and peak memory.

    python benchmarks/process.py --repeats 7 --json process.json

Times are medians of fresh processes, file cache warm. Memory is the peak resident size that the kernel
counted for the process (Linux and macOS). The large photos are enlarged from examples/contact_sheet.jpg.
This script imports nothing large itself: a child's peak begins at what its parent held.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LIBRARIES = "import numpy, cv2, onnxruntime"
# name: width, height, further options
LARGE: dict[str, tuple[int, int, list[str]]] = {
    "640x640": (640, 640, []),
    "1920x1080": (1920, 1080, []),
    "12_megapixels": (4000, 3000, []),
    "100_megapixels_tiled": (11550, 8660, ["--tile", "1024"]),
}
ENLARGE = """
import sys, cv2
picture = cv2.imread(sys.argv[1])
size = int(sys.argv[3]), int(sys.argv[4])
cv2.imwrite(sys.argv[2], cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR))
"""


class Cost(NamedTuple):
    """Of one process."""

    seconds: float
    megabytes: float
    output: str


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only-memory", action="store_true", help="no timings")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    if not arguments.only_memory:
        figures |= {"repeats": arguments.repeats, **times(arguments.repeats)}
    with tempfile.TemporaryDirectory() as folder:
        figures |= memory(Path(folder))
    from featherface.benchmark.run import machine  # after the measuring: it brings the package with it

    figures = {**machine(), **figures}
    for name, value in figures.items():
        print(f"{name:36} {value:.3f}" if isinstance(value, float) else f"{name:36} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def times(repeats: int) -> dict[str, float]:
    """Seconds: of the libraries, of what featherface adds to them, and of a whole command."""
    python = [sys.executable, "-c"]
    photo = str(EXAMPLES / "eileen_collins.jpg")
    turns = [
        (
            cost([*python, LIBRARIES]).seconds,
            cost([*python, f"{LIBRARIES}; import featherface"]).seconds,
            cost(detect(photo)).seconds,
        )
        for _ in range(repeats + 1)
    ][1:]
    libraries, package, command = (statistics.median(column) for column in zip(*turns, strict=True))
    return {
        "import_libraries_s": libraries,
        "import_featherface_adds_s": package - libraries,
        "detect_one_photo_s": command,
    }


def memory(folder: Path) -> dict[str, Any]:
    """Peak megabytes and faces found of `featherface detect`, photo by photo."""
    figures: dict[str, Any] = {
        "one_sample_photo_peak_mb": cost(detect(str(EXAMPLES / "eileen_collins.jpg"))).megabytes
    }
    for name, (width, height, options) in LARGE.items():
        photo = folder / f"{name}.jpg"
        source = str(EXAMPLES / "contact_sheet.jpg")
        cost([sys.executable, "-c", ENLARGE, source, str(photo), str(width), str(height)])
        spent = cost(detect(str(photo), *options))
        figures[f"{name}_peak_mb"] = spent.megabytes
        figures[f"{name}_seconds"] = spent.seconds
        figures[f"{name}_faces"] = int(spent.output.strip().splitlines()[-1].split()[0].replace(",", ""))
    return figures


def detect(*arguments: str) -> list[str]:
    """The command as the installed script runs it."""
    return [sys.executable, "-c", "from featherface.cli import main; main()", "detect", *arguments]


def cost(command: list[str]) -> Cost:
    """Run to the end; wall time and peak memory. A command that fails ends the benchmark with its words."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, usage.ru_maxrss * unit / 1e6, output)


if __name__ == "__main__":
    main()
