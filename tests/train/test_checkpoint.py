"""Checkpoints: whole or not there, and of this recipe or refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import torch
from tests.train.conftest import train

from featherface.errors import TrainingError


def test_a_checkpoint_is_never_half_written(tiny, tmp_path, monkeypatch):
    train(replace(tiny, steps=2))
    kept = (tmp_path / "tiny" / "checkpoint.pt").read_bytes()
    whole = torch.save

    def cut_off(value, path):
        whole(value, path)
        os.truncate(path, 1000)
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", cut_off)
    with pytest.raises(OSError, match="no space"):
        train(replace(tiny, steps=2), resume=True)
    assert [p.name for p in (tmp_path / "tiny").glob("*checkpoint*")] == ["checkpoint.pt"]
    assert (tmp_path / "tiny" / "checkpoint.pt").read_bytes() == kept


def test_a_checkpoint_that_is_none_is_named(tiny, tmp_path):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "checkpoint.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt: not a readable checkpoint$"):
        train(tiny, resume=True)


def test_resuming_another_recipe_is_refused(tiny):
    train(replace(tiny, steps=1))
    with pytest.raises(TrainingError, match="max_lr"):
        train(replace(tiny, steps=1, max_lr=0.5), resume=True)


@pytest.mark.long
def test_a_checkpoint_of_a_version_with_fewer_keys_goes_on(tiny, tmp_path):
    checkpoint = train(replace(tiny, steps=1)).weights.with_name("checkpoint.pt")
    state = torch.load(checkpoint, weights_only=True)
    before = json.loads(state["config"])
    del before["trainable"], before["loss"]["dense_prior"]
    torch.save({**state, "config": json.dumps(before)}, checkpoint)
    assert train(replace(tiny, steps=1), resume=True).finished
    with pytest.raises(TrainingError, match="belongs to another recipe; loss changed"):
        train(replace(tiny, steps=1, loss=replace(tiny.loss, dense_prior=64.0)), resume=True)


def test_resuming_without_a_checkpoint_is_refused(tiny):
    with pytest.raises(TrainingError, match=r"checkpoint\.pt"):
        train(tiny, resume=True)
