"""Recipes of pruning: those that ship, and any of them written as TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from featherface.model.weights import load_weights
from featherface.prune.config import (
    PruneConfig,
    RefitConfig,
    SearchConfig,
    SoftConfig,
    load_config,
    to_toml,
)
from featherface.prune.layout import Rates, pruned_layout
from featherface.train.config import load_config as load_training

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ["nano_b", "nano_b_half", "nano_b_search", "nano_b_stride16"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_parses(name):
    recipe = load_config(ROOT / "configs" / f"{name}.toml")
    assert recipe.name == name and recipe.max_parameters == 180_000
    assert (recipe.search.trials > 0) == name.endswith("search")
    assert load_training(ROOT / recipe.train).data.sources, "--smoke needs data"


@pytest.mark.parametrize(
    "recipe",
    [
        *(pytest.param(load_config(ROOT / "configs" / f"{name}.toml"), id=name) for name in SHIPPED),
        pytest.param(PruneConfig(init="v2.safetensors"), id="all as by default"),
        pytest.param(PruneConfig(init='C:\\a "b"\n\x7f\té😀'), id="a path of all sorts"),
        pytest.param(
            PruneConfig(
                init="a",
                train="b",
                rates=Rates(neck=1 / 3, stem=1e-9),
                search=SearchConfig(trials=1, parts=("stem", "neck"), max_lr=1e-5),
                soft=SoftConfig(7, 3),
                refit=RefitConfig(5, 64),
            ),
            id="every table, numbers with many digits",
        ),
    ],
)
def test_a_recipe_as_toml_is_the_same_recipe(recipe, tmp_path):
    (tmp_path / "again.toml").write_text(to_toml(recipe), encoding="utf-8")
    assert load_config(tmp_path / "again.toml") == recipe


def test_what_is_cut_at_stride_32_is_what_the_twelfth_stage_begins_with():
    recipe = load_config(ROOT / "configs" / "nano_b_stride16.toml")
    layout = pruned_layout(
        load_weights(ROOT / recipe.init).config, recipe.rates, recipe.name, recipe.multiple
    )
    wanted = load_training(ROOT / "configs" / "nano_b_stage12.toml").layout["backbone_widths"]
    assert [list(stage) for stage in (layout.backbone_widths[0], layout.backbone_widths[2])] == wanted[::2]
