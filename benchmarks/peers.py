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

from featherface.atomic import write_text
from featherface.benchmark.run import machine
from featherface.cli.progress import bar
from featherface.cli.targets import check_targets, writing
from featherface.errors import ConfigError, FeatherFaceError
from featherface.evaluate.compare import EVALUATED, FOUND, Compared, compare, square
from featherface.evaluate.compare_report import check_picture, draw, print_table, to_json
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
    try:
        sys.exit(measure(arguments))
    except FeatherFaceError as error:
        sys.exit(f"peers.py: {error}")


def measure(arguments: argparse.Namespace) -> int:
    """The exit code: 1 when --check finds that a peer's AP is not what it should be."""
    ours, peers = (
        [name for name in names.split(",") if name] for names in (arguments.models, arguments.only)
    )
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        raise ConfigError(f"--only {unknown[0]}: no such peer; there are {', '.join(PEERS)}")
    if not ours and not peers:
        raise ConfigError("nothing to compare: --models and --only are both empty")
    if arguments.repeats < 3:
        raise ConfigError(f"--repeats {arguments.repeats}: at least three")
    expected = read_expected(arguments, peers) if arguments.check else {}
    check_targets(arguments.json, arguments.picture)
    check_picture(arguments.picture)

    candidates = [our_candidate(name) for name in ours]
    candidates += [candidate(name, arguments.peers) for name in peers]
    pictures = every_nth(load_set(arguments.data), arguments.limit)
    with bar("comparing", len(candidates) * len(pictures.paths)) as advance:
        results = compare(candidates, pictures, square(PHOTO), arguments.repeats, advance)

    title = f"{pictures.name}, protocol original; 640x640, one thread, {arguments.repeats} runs in turns"
    print_table(results, title)
    if arguments.json:
        facts: dict[str, object] = {
            "image_set": pictures.name,
            "protocol": "original",
            "repeats": arguments.repeats,
            "score_thresholds": {"ap": EVALUATED, "latency": FOUND},
            "machine": machine(),
        }
        with writing(arguments.json):
            write_text(arguments.json, json.dumps(to_json(results, facts), indent=1) + "\n")
    if arguments.picture:
        with writing(arguments.picture):
            draw(results, arguments.picture, title)
    return 0 if agree(results, expected) else 1


def read_expected(arguments: argparse.Namespace, peers: list[str]) -> dict[str, dict[str, float]]:
    """The AP that --check compares with, by peer; ConfigError when there is nothing to compare."""
    file = arguments.peers / "expected.json"
    if arguments.limit:
        raise ConfigError(f"--check with --limit: {file} holds the AP of all pictures, not of some")
    try:
        content: dict[str, dict[str, float]] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"--check: {file} cannot be read ({error})") from error
    chosen = {name: content[name] for name in peers if name in content}
    if not chosen:
        raise ConfigError(f"--check has nothing to check: no peer chosen is in {file}")
    for name in set(peers) - set(chosen):
        print(f"{name}: not in {file}, not checked", file=sys.stderr)
    return chosen


def agree(results: list[Compared], expected: dict[str, dict[str, float]]) -> bool:
    """Whether every peer's AP is what an independent implementation measured."""
    good = True
    for result in results:
        for subset, value in expected.get(result.name, {}).items():
            found = result.ap[subset]
            if not abs(found - value) <= TOLERANCE:
                print(f"{result.name} {subset}: {found:.4f}, expected {value:.4f}", file=sys.stderr)
                good = False
    return good


if __name__ == "__main__":
    main()
