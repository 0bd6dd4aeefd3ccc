"""AP of the int8 files beside float's, on WIDER FACE's validation pictures.

    python benchmarks/int8.py --data ../shared/data/widerface --json docs/numbers/int8.json \\
        src/featherface/weights/v2.onnx exported/v2-int8.onnx exported/v2-int8.openvino.onnx \\
        exported/v2-int8-640x640.openvino.onnx exported/v2-int8-640x640.tflite exported/v2-int8-640x640.pte

Files that take any size are measured by protocol `original`; of one size (LiteRT's and ExecuTorch's always), by `vga`,
and the first file, the baseline, by both. Export them first, as docs/deployment.md says. Rows that the JSON has of
other files stay, because not every converter goes into one environment; each says what its processor has.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from featherface.benchmark.run import file_size, machine
from featherface.evaluate.protocol import protocol
from featherface.evaluate.run import detect_set, load_set, to_predictions
from featherface.evaluate.wider import evaluate
from featherface.runtime import open_session


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, help="the float file first")
    parser.add_argument("--data", type=Path, required=True, help="folder in the WIDER FACE layout")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pictures = load_set(arguments.data)
    instructions, rows = machine()["instructions"], []
    for name in ("original", "vga"):
        for number, file in enumerate(arguments.files):
            if number and (name == "vga") != (open_session(file, 1).spec.input_size is not None):
                continue
            found = detect_set(file, pictures.paths, protocol(name))
            ap = evaluate(to_predictions(found, pictures.truths), pictures.truths).ap
            row = {"file": file.name, "protocol": name, "ap": ap, "bytes": file_size(file)}
            rows.append({**row, "instructions": instructions})
            print(json.dumps(rows[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps(merged(arguments.json, rows), indent=1) + "\n")


def merged(target: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with those that the target has of other files, each protocol's baseline first."""
    old = json.loads(target.read_text()) if target.exists() else []
    measured = {(row["file"], row["protocol"]) for row in rows}
    rows = rows + [row for row in old if (row["file"], row["protocol"]) not in measured]
    return sorted(rows, key=lambda row: str(row["protocol"]))


if __name__ == "__main__":
    main()
