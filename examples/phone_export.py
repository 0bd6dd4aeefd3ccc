"""The files that a phone app needs: one fixed input size, boxes and landmarks in pixels coming out.

    python examples/phone_export.py PHONE --formats litert coreml --size 320x320

Needs the train extra, and what the formats need (`featherface export --help`). A format whose converter is not
installed is left out with a line. Each file comes with a JSON of its inputs and outputs and an example.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from featherface.errors import MissingExtraError
from featherface.export.export import export_model
from featherface.export.options import Options, find_format, parse_size
from featherface.model.weights import load_weights
from featherface.zoo import WEIGHTS


def main() -> None:
    """Export to each format."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--formats", nargs="+", default=["onnx", "litert", "coreml"])
    parser.add_argument("--size", default="320x320", help="HEIGHTxWIDTH, multiples of 32")
    arguments = parser.parse_args()

    network = load_weights(WEIGHTS / "v2.safetensors")
    for name in arguments.formats:
        options = Options(find_format(name), input_size=parse_size(arguments.size), with_decode=True)
        try:
            done = export_model(network, "v2", arguments.output / name, options)
        except MissingExtraError as error:
            print(f"{name}: left out, {error}")
        else:
            print(f"{name}: {done.model}, {done.size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
