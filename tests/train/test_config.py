"""Recipes: the shipped ones parse, wrong ones say what is wrong before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featherface.errors import ConfigError
from featherface.model import ModelConfig, preset
from featherface.model.weights import load_weights
from featherface.train.config import TrainConfig, load_config
from featherface.train.start import with_layout

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
OF_OTHERS = {
    "v2_card",
    "nano_b_card",
    "nano_b_int8_card",
    "nano_b",
    "nano_b_half",
    "nano_b_search",
    "nano_b_stride16",
    "ablate",
    "ablate_losses",
}
RECIPES = [path for path in sorted(CONFIGS.glob("*.toml")) if path.stem not in OF_OTHERS]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_parses(path):
    config = load_config(path)
    assert config.data.sources or config.name == "finetune", "whose pictures are the reader's own"
    assert config.model == "init" or preset(config.model)
    assert config.name == path.stem, "a run's folder is named as its recipe"


@pytest.mark.parametrize(
    ("recipe", "before", "after"),
    [
        pytest.param("v2_stage1", preset("v2"), "v2_stage6", id="V2's first stages have the layout of then"),
        pytest.param("v2_stage13", "v2_stage11_mean", "v2_stage13_mean", id="V2's thirteenth"),
        pytest.param("v2_stage15", "v2_stage11_mean", preset("v2"), id="V2's last, the preset's"),
        pytest.param(
            "nano_b_stage9", "nano_b_stage8_mean", preset("nano_b"), id="Nano-B's ninth, the preset's"
        ),
        pytest.param("nano_b_stage10", "nano_b_stage9_mean", preset("nano_b"), id="the tenth keeps it"),
        pytest.param("nano_b_stage11", "nano_b_stage10", preset("nano_b"), id="and so does the eleventh"),
        pytest.param(
            "nano_b_stage12", "nano_b_stage11_mean", "nano_b_stage12", id="the twelfth tries another"
        ),
        pytest.param(
            "nano_b_width", preset("nano_b"), "nano_b_stage1", id="Nano-B's layout afresh, as pruned"
        ),
    ],
)
def test_layouts_of_recipes_lead_from_one_to_the_next(recipe, before, after):
    before, after = (c if isinstance(c, ModelConfig) else weights_layout(c) for c in (before, after))
    changed = with_layout(before, load_config(CONFIGS / f"{recipe}.toml").layout)
    assert replace(changed, name=after.name) == after


def weights_layout(name):
    return load_weights(CONFIGS / "starts" / f"{name}.safetensors").config


def test_the_reference_recipe_is_the_published_one():
    config = load_config(CONFIGS / "v2.toml")
    assert (config.distill.temperature, config.distill.alpha) == (4.0, 0.7)
    assert (config.max_lr, config.batch_size, config.epochs, config.data.crop_size) == (1e-4, 32, 250, 640)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("learning_rate = 1", "unknown key learning_rate", id="unknown key"),
        pytest.param("[data]\ncrop = 3", "unknown key data.crop", id="unknown key in a table"),
        pytest.param("[data]\nsources = [{ label = 'x' }]", "sources", id="unknown key in a list"),
        pytest.param("batch_size = '32'", "batch_size = '32': must be int", id="text for a number"),
        pytest.param("batch_size = 1.5", "batch_size", id="a part for a whole number"),
        pytest.param(
            "[loss]\nassignment = 'multibox'\ndense_prior = 64.0", "dense_prior is for", id="dense twice"
        ),
        pytest.param("batch_size = 0", "batch_size must be at least 1", id="no crops"),
        pytest.param("precision = 'fp8'", "must be one of", id="a word that is not a choice"),
        pytest.param("[data]\ncrop_size = 100", "crop_size", id="a crop that is no multiple of 32"),
        pytest.param("[data]\nface_size = [8.0]", "face_size", id="one value for a range"),
        pytest.param("[data]\nface_size = [90.0, 8.0]", "face_size", id="a range upside down"),
        pytest.param("[data]\nface_size = [8.0, inf]", "data.face_size", id="a range without end"),
        pytest.param(
            "[data]\nsources = [{ labels = 'x', weight = inf }]",
            "data.sources.weight = inf",
            id="an endless weight",
        ),
        pytest.param("[distill]\nalpha = 1.5", "alpha", id="alpha over one"),
        pytest.param("[distill]\nfinal_alpha = 1.5", "final_alpha", id="a last alpha over one"),
        pytest.param("data = 3", "data", id="a number for a table"),
        pytest.param("layout = 3", "layout must be a table", id="a number for a layout"),
        pytest.param("[data]\nsources = [{ weight = 1.0 }]", "labels is missing", id="a set without labels"),
        pytest.param("[data]\nworkers = -1", "data.workers", id="fewer than no workers"),
        pytest.param("[data]\nnative_scale = [0.0, 1.0]", "native_scale", id="a scale of zero"),
        pytest.param("[data]\nmosaic_rate = 3.0", "mosaic_rate", id="a share over one"),
        pytest.param("[data]\nmin_face = nan", "min_face", id="not a number"),
        pytest.param("[loss]\ncandidate_ratio = 0.5", "candidate_ratio", id="a ratio that lets no prior in"),
        pytest.param(
            "[data]\nocclude_rate = 2.0", "data.occlude_rate", id="more faces covered than there are"
        ),
        pytest.param("[data]\nfill_from = -1", "data.fill_from", id="padding of less than nothing"),
        pytest.param(
            'name = "a\\u0000"', "must not hold the character 0", id="a name that no folder can have"
        ),
        pytest.param("seed = 1e30", "seed", id="not a whole number"),
        pytest.param(f"seed = {10**20}", "seed", id="a seed that no generator takes"),
        pytest.param("threads = -1", "threads", id="fewer than no threads"),
        pytest.param("clip_norm = -1.0", "clip_norm", id="a norm that turns gradients round"),
        pytest.param("weight_decay = -1.0", "weight_decay", id="weights that grow"),
        pytest.param("max_lr = inf", "max_lr = inf: must be a finite number", id="a rate without end"),
        pytest.param("final_div = 0.0", "final_div", id="a last rate without end"),
        pytest.param("seed = -1", "seed", id="a seed that NumPy refuses"),
        pytest.param("[loss]\nbox_weight = -3.0", "box_weight", id="boxes unlearned"),
        pytest.param(
            "[loss]\ncandidate_radius = nan", "loss.candidate_radius = nan", id="a radius that is none"
        ),
        pytest.param("[data]\ncrowd_power = nan", "data.crowd_power = nan", id="a power that is none"),
        pytest.param("steps = -5", "steps", id="fewer than no steps"),
        pytest.param("name = ''", "name", id="a run without a name"),
        pytest.param("name = ", "Invalid value", id="not TOML"),
        pytest.param("extends = 'a.toml'", "name is missing", id="two runs in one folder"),
        pytest.param("extends = 'gone.toml'", "gone.toml: no such file", id="a base that is not there"),
        pytest.param("extends = 'bad.toml'", "bad.toml: extends itself", id="its own base"),
        pytest.param("extends = 'round.toml'", "extends itself", id="in a circle"),
        pytest.param("extends = 3", "must be the path of a recipe", id="a number for a path"),
        pytest.param('extends = "a\\u0000"', "must be the path of a recipe", id="a path that cannot be"),
        pytest.param("extends = 'a.toml'\nname = 'b'\ndata = 3", "data must be a table", id="a table lost"),
        pytest.param("extends = 'broken.toml'", "broken.toml: ", id="a base that is not TOML"),
    ],
)
def test_a_bad_recipe_names_file_and_key(tmp_path, text, reason):
    (tmp_path / "a.toml").write_text("name = 'a'\n[data]\ncrop_size = 64\n")
    (tmp_path / "round.toml").write_text("extends = 'bad.toml'\n")
    (tmp_path / "broken.toml").write_text("name = ")
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert str(path) in str(error.value) and reason in str(error.value)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml: no such file"):
        load_config(tmp_path / "gone.toml")


@pytest.fixture
def family(tmp_path):
    """A recipe in a folder, one that extends it from another, and one that extends that one."""
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "a.toml").write_text(
        "name = 'a'\nbatch_size = 4\nseed = 3\ntrainable = ['neck']\n"
        "[data]\ncrop_size = 64\nnative_scale = [0.5, 2.0]\nsources = [{ labels = 'x' }, { labels = 'y' }]\n"
    )
    (tmp_path / "b.toml").write_text(
        "extends = 'base/a.toml'\nname = 'b'\nbatch_size = 8\n[data]\ncrop_size = 96\n[loss]\nbox_weight = 3.0\n"
    )
    (tmp_path / "c.toml").write_text(
        "extends = 'b.toml'\nname = 'c'\ntrainable = []\n[data]\nsources = [{ labels = 'z' }]\n"
    )
    return tmp_path


def test_a_recipe_that_extends_another_holds_only_what_differs(family):
    a, b, c = (load_config(family / path) for path in ("base/a.toml", "b.toml", "c.toml"))
    assert (b.name, b.batch_size, b.seed, b.trainable) == ("b", 8, a.seed, a.trainable)
    assert (b.data, b.loss.box_weight) == (replace(a.data, crop_size=96), 3.0), "tables key by key"
    assert (c.batch_size, c.trainable, [source.labels for source in c.data.sources]) == (8, (), ["z"])
    assert load_config(family / "c.toml", ["data.crop_size=128"]).data.crop_size == 128, (
        "what is set comes last"
    )


def test_overrides_reach_into_tables_and_take_words_and_lists(tmp_path):
    (tmp_path / "a.toml").write_text("batch_size = 4\n[data]\ncrop_size = 64\n")
    config = load_config(
        tmp_path / "a.toml", ["batch_size=8", "data.native_scale=[0.5, 2.0]", "init=random", "hours=1"]
    )
    assert (config.batch_size, config.data.crop_size, config.data.native_scale) == (8, 64, (0.5, 2.0))
    assert config.init == "random" and config.hours == 1.0


@pytest.mark.parametrize("override", ["batch_size", "=3", "batch_size.deep=3", "nonsense=1"])
def test_bad_overrides_are_named(tmp_path, override):
    (tmp_path / "a.toml").write_text("batch_size = 4\n")
    with pytest.raises(ConfigError, match=override.split("=")[0].split(".")[0] or "expected"):
        load_config(tmp_path / "a.toml", [override])


def test_defaults_are_valid():
    assert TrainConfig().batch_size == 32
