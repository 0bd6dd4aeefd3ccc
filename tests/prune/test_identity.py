"""What a search belongs to: all that changes its trials' figures, and nothing else."""

from __future__ import annotations

import dataclasses
import json

import pytest

from featherface.prune.config import PruneConfig, RefitConfig, SearchConfig
from featherface.prune.identity import changed, search_identity
from featherface.prune.layout import Rates
from featherface.train.config import DataConfig, DistillConfig, LossConfig, TrainConfig, to_dict


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "v2.safetensors").write_text("weights")
    return PruneConfig(init=str(tmp_path / "v2.safetensors"), train="b")


@pytest.fixture
def training(tmp_path):
    (tmp_path / "teacher.onnx").write_text("graph")
    return TrainConfig(distill=DistillConfig(teacher=str(tmp_path / "teacher.onnx")))


def identity(recipe, training):
    return json.loads(json.dumps(search_identity(recipe, to_dict(training))))


@pytest.mark.parametrize(
    ("pruning", "learning", "says"),
    [
        pytest.param({}, {}, [], id="nothing"),
        pytest.param({"search": SearchConfig(trials=9, max_latency=0.5)}, {}, [], id="more trials"),
        pytest.param({"max_parameters": 9, "output": "x"}, {}, [], id="what is chosen, and where it goes"),
        pytest.param({}, {"data": DataConfig(cache_gb=1.0, workers=3)}, [], id="how pictures are loaded"),
        pytest.param({}, {"max_lr": 1.0, "steps": 7, "ema": 0.5}, [], id="what the recovery does not take"),
        pytest.param({"rates": Rates(neck=0.5)}, {}, ["rates.neck"], id="rates"),
        pytest.param({"refit": RefitConfig(pictures=3)}, {}, ["refit.pictures"], id="refit"),
        pytest.param({"search": SearchConfig(steps=9)}, {}, ["search.steps"], id="a longer recovery"),
        pytest.param({}, {"weight_decay": 0.1}, ["train.weight_decay"], id="weight decay"),
        pytest.param({}, {"clip_norm": 1.0}, ["train.clip_norm"], id="clipped gradients"),
        pytest.param({}, {"final_div": 7.0}, ["train.final_div"], id="the rate's end"),
        pytest.param({}, {"loss": LossConfig(box_weight=1.0)}, ["train.loss.box_weight"], id="a loss"),
    ],
)
def test_what_changes_the_figures_changes_the_identity(recipe, training, pruning, learning, says):
    other = identity(dataclasses.replace(recipe, **pruning), dataclasses.replace(training, **learning))
    assert changed(identity(recipe, training), other) == says


@pytest.mark.parametrize(
    ("file", "says"),
    [
        pytest.param("v2.safetensors", ["init"], id="weights"),
        pytest.param("teacher.onnx", ["teacher"], id="teacher"),
    ],
)
def test_another_file_of_the_same_name_is_another_one(recipe, training, tmp_path, file, says):
    before = identity(recipe, training)
    (tmp_path / file).write_text("another")
    assert changed(before, identity(recipe, training)) == says


def test_a_training_without_a_teacher_has_an_identity_too(recipe):
    assert identity(recipe, TrainConfig())["teacher"] == ""
