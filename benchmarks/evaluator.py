"""What the evaluator itself takes on one core, from prediction files to AP and to all other figures.

    python benchmarks/evaluator.py --data widerface --predictions predictions --json evaluator.json

`--data` is a folder in the WIDER FACE layout, `--predictions` one of prediction files for its pictures. The full
set is composed of them: repeated under new events and names until there are 3,226 pictures. With --check the exit
code is 1 when AP takes over 3 s on the pictures that are there or over 20 s on the full set.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

os.environ["OMP_NUM_THREADS"] = "1"

from featherface.benchmark.run import machine
from featherface.evaluate.beyond import look_beyond
from featherface.evaluate.ground_truth import OFFICIAL_PICTURES, ImageTruth
from featherface.evaluate.predictions import read_predictions, write_predictions
from featherface.evaluate.run import load_set
from featherface.evaluate.wider import Predictions, evaluate

LIMITS = {"there": 3.0, "full": 20.0}
T = TypeVar("T")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--check", action="store_true", help="exit code 1 when a limit is missed")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])

    seconds, pictures = timed(lambda: load_set(arguments.data))
    figures: dict[str, Any] = {**machine(), "read_ground_truth_s": seconds}
    figures["there"] = measure(arguments.predictions, pictures.truths, arguments.repeats)
    rows, _ = read_predictions(arguments.predictions, pictures.truths)
    truths, repeated = repeat(pictures.truths, rows, OFFICIAL_PICTURES)
    with tempfile.TemporaryDirectory() as folder:
        for (event, name), found in repeated.items():
            write_predictions(folder, event, name, found)
        figures["full"] = measure(Path(folder), truths, arguments.repeats)
    for name, value in figures.items():
        print(f"{name:20} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    slow = [name for name, limit in LIMITS.items() if figures[name]["files_to_ap_s"] > limit]
    sys.exit(f"over the limit: {', '.join(slow)}" if arguments.check and slow else 0)


def measure(folder: Path, truths: list[ImageTruth], repeats: int) -> dict[str, float]:
    """Seconds of each step, the fastest of some repeats."""
    best: dict[str, float] = {}
    for _ in range(repeats):
        read, (rows, _) = timed(lambda: read_predictions(folder, truths))
        ap, result = timed(lambda rows=rows: evaluate(rows, truths))
        beyond, _ = timed(lambda rows=rows: look_beyond(rows, truths))
        times = {"read_files_s": read, "ap_s": ap, "beyond_ap_s": beyond, "files_to_ap_s": read + ap}
        best = {name: min(value, best.get(name, value)) for name, value in times.items()}
    return {
        "pictures": result.images,
        "detections": sum(map(len, rows.values())),
        **{f"ap_{subset}": round(value, 4) for subset, value in result.ap.items()},
        **{name: round(value, 3) for name, value in best.items()},
    }


def repeat(truths: list[ImageTruth], rows: Predictions, count: int) -> tuple[list[ImageTruth], Predictions]:
    """Pictures and predictions repeated under new events and names until there are `count`."""
    all_truths: list[ImageTruth] = []
    all_rows = {}
    for number in range(count):
        turn, place = divmod(number, len(truths))
        old = truths[place]
        new = replace(old, event=f"{turn}_{old.event}", name=f"{turn}_{old.name}")
        all_truths.append(new)
        if (old.event, old.name) in rows:
            all_rows[new.event, new.name] = rows[old.event, old.name]
    return all_truths, all_rows


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds, and what came of it."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


if __name__ == "__main__":
    main()
