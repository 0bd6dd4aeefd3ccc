"""Search, soft pruning and --smoke through the command line, on pictures made here."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from featherface.cli.app import build_app

pytest.importorskip("torch_pruning", reason="the prune extra is not installed")
pytest.importorskip("optuna", reason="the prune extra is not installed")

from featherface.errors import FeatherFaceError
from featherface.lock import held
from featherface.model import build, count_parameters, preset
from featherface.model.published import LAYOUTS
from featherface.model.weights import load_weights, save_weights
from featherface.model.widen import is_wider
from featherface.prune.config import load_config
from featherface.prune.surgery import masked

ROOT = Path(__file__).resolve().parents[2]

TRAIN = """
name = "train"
init = "random"
batch_size = 2
steps = 4
precision = "fp32"
[data]
crop_size = 64
cache_gb = 0.0
workers = 0
sources = [{{ labels = "{folder}/label.txt" }}]
"""

RECIPE = """
name = "small"
init = "{folder}/v2.safetensors"
train = "{folder}/train.toml"
output = "{out}"
{top}
[rates]
stage3 = 0.5
[search]
seed = 1
parts = ["stage3", "neck"]
holdout = {holdout}
steps = 1
batch_size = 1
crop_size = 64
input_size = 64
repeats = 2
{search}
[soft]
{soft}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five pictures of ovals with labels, weights in V2's layout, a training recipe."""
    place = tmp_path_factory.mktemp("pictures")
    rng, lines = np.random.default_rng(0), []
    for number in range(5):
        picture = rng.integers(0, 90, (96, 128, 3), np.uint8)
        cv2.ellipse(picture, (60, 50), (14, 18), 0, 0, 360, (220, 190, 170), -1)
        lines += [f"# {number}.png", "46 32 28 36 " + "54 44 0.0 66 44 0.0 60 50 0.0 55 58 0.0 65 58 0.0 1.0"]
        (place / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(place / "images" / f"{number}.png"), picture)
    (place / "label.txt").write_text("\n".join(lines) + "\n")
    torch.manual_seed(0)
    save_weights(build(preset("v2")), place / "v2.safetensors")
    save_weights(build(preset("v1")), place / "v1.safetensors")
    torch.save(build(LAYOUTS["published_v1"]).state_dict(), place / "published.pth")
    (place / "train.toml").write_text(TRAIN.format(folder=place))
    return place


def prune(folder, out, *options, search="", soft="", top="", holdout=2, change=("", "")):
    text = RECIPE.format(folder=folder, out=out, search=search, soft=soft, top=top, holdout=holdout)
    out.mkdir(exist_ok=True)
    (out / "recipe.toml").write_text(text.replace(*change))
    return CliRunner().invoke(build_app(), ["prune", str(out / "recipe.toml"), *options])


SOFT = "steps = 3\nevery = 2"


@pytest.fixture(scope="module")
def softly(folder, tmp_path_factory):
    """A folder in which soft pruning has come to its end."""
    out = tmp_path_factory.mktemp("softly")
    result = prune(folder, out, soft=SOFT)
    assert result.exit_code == 0, result.output
    return out


@pytest.mark.long
def test_the_teacher_speaks_while_filters_are_softly_pruned(folder, tmp_path):
    taught = f'[distill]\nteacher = "{folder}/v2.safetensors"\nruntime = "torch"\n'
    (tmp_path / "taught.toml").write_text(TRAIN.format(folder=folder) + taught)
    result = prune(folder, tmp_path, soft=SOFT, change=(f"{folder}/train.toml", f"{tmp_path}/taught.toml"))
    assert result.exit_code == 0, result.exception
    with (tmp_path / "small" / "train.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows and all(float(row["distillation"]) > 0 for row in rows)


def assert_pruned_is_masked(place, gone):
    """The moving average with these filters zero, and what was cut out of it, compute the same."""
    zeroed = masked(load_weights(place / "last.safetensors"), gone)
    smaller = load_weights(place / "pruned.safetensors")
    images = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(1)) * 255 - 110
    with torch.inference_mode():
        expected, found = zeroed(images), smaller(images)
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours - theirs).abs().max()) < 1e-5 * max(float(theirs.abs().max()), 1)


def test_a_recipe_without_rates_is_refused(folder, tmp_path):
    result = prune(folder, tmp_path, change=("stage3 = 0.5\n", ""))
    assert "small: rates are all 0, nothing to prune" in str(result.exception)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("options", [{"search": "trials = 1"}, {"soft": "steps = 3\nevery = 2"}])
def test_a_folder_that_another_process_works_in_is_left_alone(folder, tmp_path, options):
    (tmp_path / "small").mkdir()
    with held(tmp_path / "small"):
        result = prune(folder, tmp_path, **options)
    assert "small: another run writes to it (process" in str(result.exception)
    assert list((tmp_path / "small").iterdir()) == []


def test_soft_pruning_comes_before_the_removal(softly):
    place = softly / "small"
    assert load_weights(place / "last.safetensors").config.backbone_widths[2] == (304, 256)
    assert load_weights(place / "pruned.safetensors").config.backbone_widths[2] == (152, 128)


def test_what_the_last_step_zeroed_is_what_goes(softly):
    """Also where `every` does not divide the steps: no filter goes that had time to recover."""
    place = softly / "small"
    gone = json.loads((place / "soft.json").read_text())["chosen"]
    live = torch.load(place / "checkpoint.pt", weights_only=True)["model"]
    for layer, half in (("backbone.stage3.0.1.0", 152), ("backbone.stage3.1.1.0", 128)):
        assert len(gone[layer]) == half and float(live[f"{layer}.weight"][gone[layer]].abs().max()) == 0
    assert_pruned_is_masked(place, gone)


@pytest.mark.long
def test_the_removal_does_not_choose_anew(folder, softly, tmp_path):
    """The moving average, which is cut, has no zeros and might choose others than the training did."""
    shutil.copytree(softly, tmp_path, dirs_exist_ok=True)
    record = tmp_path / "small" / "soft.json"
    text = json.loads(record.read_text())
    layer = "backbone.stage3.1.1.0"
    text["chosen"][layer] = sorted(set(range(256)) - set(text["chosen"][layer]))
    record.write_text(json.dumps(text))
    result = prune(folder, tmp_path, "--resume", soft=SOFT)
    assert result.exit_code == 0, result.output
    assert_pruned_is_masked(tmp_path / "small", text["chosen"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(("every = 2", "every = 3"), "soft.every changed", id="zeroed less often"),
        pytest.param(("stage3 = 0.5", "stage3 = 0.25"), "rates.stage3 changed", id="another rate"),
        pytest.param(("stage3 = 0.5", "stage3 = 0.5\nneck = 0.5"), "rates.neck changed", id="one more part"),
    ],
)
def test_soft_pruning_towards_something_else_does_not_go_on(folder, softly, tmp_path, change, says):
    shutil.copytree(softly, tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "small" / "soft.json").read_text()
    result = prune(folder, tmp_path, "--resume", soft=SOFT, change=change)
    assert isinstance(result.exception, FeatherFaceError) and says in str(result.exception)
    assert (tmp_path / "small" / "soft.json").read_text() == before


@pytest.mark.slow
def test_a_search_leaves_its_trials_its_front_and_a_recipe_to_prune_by(folder, tmp_path):
    # Any time will do: on a busy machine no layout might be within the limit, and nothing chosen.
    result = prune(folder, tmp_path, search="trials = 2\nmax_latency = 100.0")
    assert result.exit_code == 0, result.output
    place = tmp_path / "small"
    with (place / "trials.csv").open() as file:
        assert [row["trial"] for row in csv.DictReader(file)] == ["original", "0", "1"]
    assert (place / "pareto.png").stat().st_size > 1000
    assert load_config(place / "chosen.toml").train == f"{folder}/train.toml"
    again = prune(folder, tmp_path, search="trials = 2\nmax_latency = 100.0")
    assert "2 trials there, 0 to go" in again.output
    other = prune(folder, tmp_path, search="trials = 2\nlowest = 0.125")
    assert "holds another search; search.lowest changed" in str(other.exception)
    chosen = CliRunner().invoke(build_app(), ["prune", str(place / "chosen.toml")], catch_exceptions=False)
    assert chosen.exit_code == 0


@pytest.fixture
def clone(folder, tmp_path, monkeypatch):
    """Where the shipped recipes find what they name: a clone of the repository, in it, without data beside it."""
    place = tmp_path / "clone"
    place.mkdir()
    for name in ("configs", "src"):
        (place / name).symlink_to(ROOT / name)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def data(folder, clone):
    """Pictures where the shipped recipes look for theirs: beside the clone."""
    place = clone.parent / "shared" / "data"
    for name in ("widerface/train", "extra/kaggle520", "extra/negatives"):
        (place / name).mkdir(parents=True)
        shutil.copytree(folder / "images", place / name / "images")
        shutil.copy(folder / "label.txt", place / name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nano_b", "nano_b_half", "nano_b_search"])
def test_smoke_runs_everything_and_keeps_nothing(clone, data, name):
    result = CliRunner().invoke(build_app(), ["prune", f"configs/{name}.toml", "--smoke"])
    assert result.exit_code == 0, result.output
    assert "smoke: everything ran (search, soft pruning, removal, refit, training)" in result.output
    assert sorted(path.name for path in clone.iterdir()) == ["configs", "src"]


def test_smoke_says_what_a_recipe_without_training_leaves_out(folder, tmp_path):
    result = prune(folder, tmp_path, "--smoke", change=(f'train = "{folder}/train.toml"', ""))
    assert result.exit_code == 0, result.output
    assert "smoke: only the removal ran; search, soft pruning, refit and training need" in result.output
    assert "everything" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


@pytest.mark.long
def test_the_shipped_recipe_prunes_to_where_its_training_began(clone, data):
    result = CliRunner().invoke(build_app(), ["prune", "configs/nano_b.toml"])
    assert result.exit_code == 0, result.output
    smaller = load_weights(clone / "runs" / "nano_b" / "pruned.safetensors")
    began = load_weights(ROOT / "configs" / "starts" / "nano_b_stage1.safetensors")
    assert replace(smaller.config, name=began.config.name) == began.config
    assert count_parameters(smaller) == 161_988
    assert is_wider(preset("nano_b"), smaller.config), "the preset was widened later, at stride 32,"
    assert not is_wider(smaller.config, preset("nano_b")), "and is narrower nowhere but in what SSH reads"
    assert [path.name for path in (clone / "runs" / "nano_b").iterdir()] == ["pruned.safetensors"]


def test_a_recipe_without_a_refit_prunes_without_any_data(clone):
    result = CliRunner().invoke(build_app(), ["prune", "configs/nano_b_half.toml"])
    assert result.exit_code == 0, result.output
    smaller = load_weights(clone / "runs" / "nano_b_half" / "pruned.safetensors")
    assert count_parameters(smaller) == 137_504


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        pytest.param(
            {"search": "trials = 2\nhighest = 0.95", "change": ('"stage3", "neck"', '"stem"')},
            "rates.stem = 0.95: leaves none of 8 channels",
            id="the highest rate would remove everything",
        ),
        pytest.param({"search": "trials = 2", "holdout": 99}, "leaves none of 5 pictures", id="all held out"),
        pytest.param(
            {"search": "trials = 2", "change": ("v2.safe", "v1.safe")},
            "only layouts like v2",
            id="another network",
        ),
        pytest.param(
            {"soft": "steps = 2", "change": ("v2.safe", "v1.safe")},
            "only layouts like v2",
            id="the same, softly",
        ),
        pytest.param(
            {"change": ("v2.safetensors", "published.pth"), "top": "max_parameters = 9"},
            "model published_v1: only layouts like v2",
            id="a published checkpoint, which is no such network",
        ),
        pytest.param(
            {"change": ("v2.safetensors", "label.txt")},
            "label.txt: not a readable checkpoint",
            id="no weights",
        ),
        pytest.param(
            {"search": "trials = 2", "change": ('train = "', 'train = "no')}, "no such file", id="no recipe"
        ),
        pytest.param({"search": 'trials = 2\nprotocol = "x"'}, "no protocol 'x'", id="an unknown protocol"),
        pytest.param({"search": "trials = 2.5"}, "search.trials = 2.5: must be int", id="half a trial"),
        pytest.param(
            {"change": ('["stage3", "neck"]', '"neck"')}, "search.parts", id="parts that are no list"
        ),
        pytest.param(
            {"change": ('name = "small"', 'name = "../x"')}, "name = '../x'", id="a folder elsewhere"
        ),
        pytest.param({"top": "max_parameters = -1"}, "max_parameters = -1", id="fewer than no parameters"),
        pytest.param({"soft": "steps = 2\nevery = 0"}, "every at least 1", id="never"),
        pytest.param(
            {"soft": "steps = 2", "top": "max_parameters = 9"}, "over max_parameters", id="too large"
        ),
    ],
)
def test_bad_recipes_are_refused_before_anything_runs(folder, tmp_path, settings, says):
    result = prune(folder, tmp_path, **settings)
    assert result.exit_code == 1 and isinstance(result.exception, FeatherFaceError)
    assert says in str(result.exception) and "\n" not in str(result.exception)
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize("settings", [{}, {"search": "trials = 2"}, {"soft": "steps = 2"}], ids=str)
@pytest.mark.parametrize(
    ("output", "says"),
    [
        pytest.param("{out}/recipe.toml", "recipe.toml is a file", id="a file"),
        pytest.param("/proc/nope", "cannot be written", id="where nobody can make a folder, root included"),
        pytest.param("{out}/" + "x" * 300, "cannot be written (file name too long)", id="too long a name"),
        pytest.param("{out}/taken", "a folder, not a file to write", id="a folder in the result's place"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(
    folder, tmp_path, monkeypatch, settings, output, says
):
    for name in ("pruned.safetensors", "trials.csv"):
        (tmp_path / "taken" / "small" / name).mkdir(parents=True)
    there = (f'output = "{tmp_path}"', f'output = "{output.format(out=tmp_path)}"')
    monkeypatch.setattr("featherface.model.weights.load_any", lambda _: pytest.fail("the work has begun"))
    result = prune(folder, tmp_path, **settings, change=there)
    assert result.exit_code == 1 and isinstance(result.exception, FeatherFaceError)
    assert says in str(result.exception) and "\n" not in str(result.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml", "taken"]


@pytest.mark.parametrize(
    ("package", "least"), [pytest.param("torch-pruning", "1.5"), pytest.param("optuna", "4")]
)
def test_a_package_that_is_too_old_is_refused_before_the_work(folder, tmp_path, monkeypatch, package, least):
    from importlib import metadata

    honest = metadata.version
    monkeypatch.setattr(metadata, "version", lambda asked: "0.9" if asked == package else honest(asked))
    result = prune(folder, tmp_path, search="trials = 2", holdout=99)
    assert f"{package} 0.9 is installed; this needs {least} or newer" in str(result.exception)


def test_soft_pruning_without_a_checkpoint_does_not_resume(folder, tmp_path):
    result = prune(folder, tmp_path, "--resume", soft="steps = 2")
    assert "no checkpoint to resume from" in str(result.exception)
