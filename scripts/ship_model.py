"""Puts trained weights into the package: ONNX and safetensors files, and the card with *measured* AP.

    python scripts/ship_model.py runs/v2_stage1/last.safetensors --name v2 --facts configs/v2_card.toml \
        --data ../shared/data/widerface

With `--int8 PICTURES` the ONNX file alone ships, in int8, calibrated on the pictures of that folder.
"""

import argparse
import hashlib
import json
import shutil
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from featherface.atomic import atomic_path, write_text
from featherface.evaluate.protocol import protocol
from featherface.evaluate.run import detect_set, load_set, to_predictions
from featherface.evaluate.wider import evaluate
from featherface.export.export import export_model
from featherface.export.onnx import export_onnx
from featherface.export.options import Options, find_format
from featherface.model import FeatherFace, count_parameters
from featherface.model.weights import load_weights
from featherface.zoo import WEIGHTS

FACTS = ("title", "licence", "data", "recipe", "init", "notes")


def main() -> None:
    """Export, measure, write the card last."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--facts", type=Path, required=True, help="TOML with " + ", ".join(FACTS))
    parser.add_argument("--data", type=Path, required=True, help="folder in the WIDER FACE layout")
    parser.add_argument("--protocols", default="original", help="such as original,vga,multiscale")
    parser.add_argument("--int8", type=Path, help="folder of pictures to calibrate on")
    arguments = parser.parse_args()

    facts = tomllib.loads(arguments.facts.read_text(encoding="utf-8"))
    missing = [key for key in FACTS if key not in facts]
    if missing:
        parser.error(f"{arguments.facts}: {missing[0]} is missing")
    model = load_weights(arguments.weights)
    # Measured before anything is replaced: files and card must agree at every moment.
    with TemporaryDirectory() as folder:
        onnx = Path(folder, f"{arguments.name}.onnx")
        if arguments.int8:
            files = [export_int8(model, onnx, arguments.int8)]
        else:
            print(f"largest difference from torch {export_onnx(model, onnx, arguments.name):.2e}")
            tensors = onnx.with_suffix(".safetensors")
            shutil.copyfile(arguments.weights, tensors)
            files = [onnx, tensors]
        card = {
            "name": arguments.name,
            "parameters": count_parameters(model),
            "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
            "ap": {name: measure(onnx, arguments.data, name) for name in arguments.protocols.split(",")},
            **{key: facts[key] for key in FACTS},
        }
        for path in files:
            with atomic_path(WEIGHTS / path.name) as temporary:
                shutil.copyfile(path, temporary)
    write_text(WEIGHTS / f"{arguments.name}.json", json.dumps(card, indent=2) + "\n")
    print(json.dumps(card["ap"], indent=2))


def export_int8(model: FeatherFace, onnx: Path, pictures: Path) -> Path:
    """The exporter's int8 file, checked against torch, under the name that ships."""
    options = Options(find_format("onnx"), precision="int8", calibration=pictures)
    exported = export_model(model, onnx.stem, onnx.parent / "int8", options, report=print)
    return Path(shutil.move(exported.model, onnx))


def measure(onnx: Path, data: Path, name: str) -> dict[str, object]:
    """AP of the exported file under one protocol."""
    pictures = load_set(data)
    found = detect_set(onnx, pictures.paths, protocol(name))
    ap = evaluate(to_predictions(found, pictures.truths), pictures.truths).ap
    return {"image_set": pictures.name, **{subset: round(value, 6) for subset, value in ap.items()}}


if __name__ == "__main__":
    main()
