"""Our models beside other small detectors, each with its own pre- and post-processing.

    python benchmarks/peers.py --peers ../shared/peers --data ../shared/data/widerface \
        --models v2,published_v1.onnx --json peers.json --picture docs/images/peers.png

One run: the same pictures for all, latency on one thread, taken in turns. With --check, the peers' AP must lie
within 0.01 of the figures in expected.json beside them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from featherface.benchmark.run import machine
from featherface.evaluate.compare import Compared, compare, square
from featherface.evaluate.compare_report import HEADER, draw, table_rows, to_json
from featherface.evaluate.ours import our_candidate
from featherface.evaluate.run import every_nth, load_set
from peer_models import PEERS, candidate

PHOTO = Path(__file__).resolve().parents[1] / "examples" / "contact_sheet.jpg"
TOLERANCE = 0.01


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", type=Path, required=True, help="folder of the peers' ONNX files")
    parser.add_argument("--only", default=",".join(PEERS), help="which peers, separated by commas")
    parser.add_argument("--models", default="v2", help="shipped models and files of ours")
    parser.add_argument("--data", type=Path, required=True, help="folder in the WIDER FACE layout")
    parser.add_argument("--limit", type=int, default=0, help="about this many pictures; all when 0")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--check", action="store_true", help="compare AP with expected.json")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    arguments = parser.parse_args()

    pictures = every_nth(load_set(arguments.data), arguments.limit)
    candidates = [our_candidate(name) for name in arguments.models.split(",") if name]
    candidates += [candidate(name, arguments.peers) for name in arguments.only.split(",") if name]
    total = len(candidates) * len(pictures.paths)
    ticks = iter(track(range(total + 1), description="comparing", console=Console(stderr=True)))
    results = compare(candidates, pictures, square(PHOTO), arguments.repeats, lambda: next(ticks))

    title = f"{pictures.name}, protocol original; 640x640, one thread, {arguments.repeats} runs in turns"
    table = Table(*HEADER, title=title)
    for row in table_rows(results):
        table.add_row(*row)
    Console(width=150).print(table)
    if arguments.json:
        facts: dict[str, object] = {"image_set": pictures.name, "machine": machine()}
        arguments.json.write_text(json.dumps(to_json(results, facts), indent=1) + "\n")
    if arguments.picture:
        draw(results, arguments.picture, title)
    if arguments.check and not agree(results, arguments.peers / "expected.json"):
        sys.exit(1)


def agree(results: list[Compared], file: Path) -> bool:
    """Whether every peer's AP is what an independent implementation measured."""
    expected = json.loads(file.read_text())
    good = True
    for result in results:
        for subset, value in expected.get(result.name, {}).items():
            difference = result.ap[subset] - value
            if abs(difference) > TOLERANCE:
                print(
                    f"{result.name} {subset}: {result.ap[subset]:.4f}, expected {value:.4f}", file=sys.stderr
                )
                good = False
    return good


if __name__ == "__main__":
    main()
