"""The weights that a recipe's training would begin from, weight surgery done: for a mean with what a stage left.

    python scripts/start_weights.py configs/nano_b_stage9.toml --save runs/nano_b_stage9_start/last.safetensors

`--take MODULES --of FILE` gives it some modules of another network of the same widths there, which has learned them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from featherface.model.weights import load_weights, save_weights
from featherface.train.config import load_config
from featherface.train.data import CropDataset
from featherface.train.stage import start_of


def main() -> None:
    """Read the recipe, do what its training would first, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", action="append", default=[], help="key=value, as in `featherface train`")
    parser.add_argument("--take", default="", help="modules of another file, such as context.0,heads.0")
    parser.add_argument("--of", type=Path, help="that file")
    parser.add_argument("--save", type=Path, required=True)
    arguments = parser.parse_args()
    if bool(arguments.take) != (arguments.of is not None):
        parser.error("--take and --of go together")
    recipe = load_config(arguments.recipe, arguments.set)
    torch.manual_seed(recipe.seed)
    network = start_of(recipe, CropDataset.of(recipe.data, recipe.seed))
    if arguments.take:
        other = load_weights(arguments.of)
        for name in filter(None, arguments.take.split(",")):
            try:
                network.get_submodule(name).load_state_dict(other.get_submodule(name).state_dict())
            except (AttributeError, RuntimeError) as error:
                parser.error(f"--take {name}: {error}")
    arguments.save.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network, arguments.save)


if __name__ == "__main__":
    main()
