"""The weighted mean of several stages' weights (Izmailov 2018): stages of one line lie in one valley of the loss.

    python scripts/average_weights.py runs/v2_stage4/last.safetensors:2 runs/v2_stage5/last.safetensors:3 --save OUT

`--keep MODULES` takes some as the first file has them: what was made anew since the other files (by widening, say) has
no mean with theirs that works.

Batch norm is folded into the convs before, because its statistics have no mean that fits the mean of the weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from featherface.model.fold import folded
from featherface.model.weights import load_weights, save_weights, unfolded


def main() -> None:
    """Read, average, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="+", help="FILE.safetensors:SHARE")
    parser.add_argument(
        "--keep", default="", help="modules of the first file to keep, such as context.2,heads.2"
    )
    parser.add_argument("--save", type=Path, required=True)
    arguments = parser.parse_args()
    files, parts = [], torch.zeros(len(arguments.stages), dtype=torch.float64)
    for number, stage in enumerate(arguments.stages):
        file, _, share = stage.rpartition(":")
        try:
            parts[number] = float(share)
        except ValueError:
            parser.error(f"{stage}: its share is missing, as in {stage}:1")
        files.append(file)
    parts /= parts.sum()
    networks = [folded(load_weights(file)) for file in files]
    states = [network.state_dict() for network in networks]
    mean = dict(states[0])
    kept = tuple(f"{module}." for module in arguments.keep.split(",") if module)
    for module in kept:
        if not any(name.startswith(module) for name in mean):
            parser.error(f"--keep: {files[0]} has no module {module.removesuffix('.')}")
    for name in mean:
        if not name.startswith(kept):
            total = sum(part * state[name].double() for part, state in zip(parts, states, strict=True))
            mean[name] = total.to(mean[name].dtype)  # type: ignore[union-attr]
    networks[0].load_state_dict(mean)
    arguments.save.parent.mkdir(parents=True, exist_ok=True)
    save_weights(unfolded(networks[0]), arguments.save)


if __name__ == "__main__":
    main()
