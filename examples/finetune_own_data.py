"""Fine-tune the shipped weights on labels of your own, and export what comes out. Needs the train extra.

    python examples/finetune_own_data.py LABELS --hours 1 --output own

LABELS is a label file or folder in any format that featherface reads. The result is own/own.onnx, for
`featherface detect --model own/own.onnx`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from featherface.export.onnx import export_onnx
from featherface.model.weights import load_weights
from featherface.train.config import DataConfig, DataSource, TrainConfig
from featherface.train.stage import run_stage


def main() -> None:
    """Train one short cycle, then export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--steps", type=int, default=0, help="instead of hours")
    parser.add_argument("--output", type=Path, default=Path("own"))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--crop-size", type=int, default=320)
    parser.add_argument("--resume", action="store_true", help="go on after a stop")
    arguments = parser.parse_args()

    data = DataConfig(
        sources=(DataSource(str(arguments.labels)),),
        crop_size=arguments.crop_size,
        cache_dir=str(arguments.output / "cache"),
    )
    recipe = TrainConfig(
        name="stage",
        init="v2",
        output=str(arguments.output),
        steps=arguments.steps,
        hours=0 if arguments.steps else arguments.hours,
        batch_size=arguments.batch_size,
        # A tenth of the rate that made the weights: enough to move them, too little to forget.
        max_lr=5e-5,
        fold_batch_norm=True,
        data=data,
    )
    outcome = run_stage(
        recipe, distilled=False, resume=arguments.resume, export=export_onnx, validate=None, report=print
    )
    if not outcome.finished:
        sys.exit(130)
    target = arguments.output / "own.onnx"
    export_onnx(load_weights(outcome.weights), target, "own")
    print(target)


if __name__ == "__main__":
    main()
