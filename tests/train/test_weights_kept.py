"""Which weights a stage keeps, and what they are: measured or not, folded, frozen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import train

from featherface.errors import DataError, TrainingError
from featherface.model import build, preset
from featherface.model.fold import folded
from featherface.model.weights import load_weights, save_weights, unfolded


def test_the_best_by_hard_is_kept(tiny, tmp_path):
    measured = iter([0.5, 0.2])
    config = replace(tiny, validate_minutes=0.0, steps=2)
    outcome = train(config, validate=lambda _: {"ap_hard": next(measured, 0.2)})
    best, last = (load_file(tmp_path / "tiny" / f"{name}.safetensors") for name in ("best", "last"))
    assert outcome.finished and outcome.validation == {"ap_hard": 0.2}
    assert any(not torch.equal(best[key], last[key]) for key in best)
    assert "ap_hard" in (tmp_path / "tiny" / "validation.csv").read_text()


def test_a_measurement_that_fails_loses_nothing(tiny, tmp_path):
    def fail(_):
        raise DataError("the pictures are gone")

    with pytest.raises(DataError, match="gone"):
        train(replace(tiny, steps=2), validate=fail)
    assert (tmp_path / "tiny" / "last.safetensors").is_file()
    assert train(replace(tiny, steps=2), resume=True).finished


def test_another_validation_is_another_run(tiny):
    """The best so far was the best on the other pictures."""
    train(replace(tiny, steps=1))
    with pytest.raises(TrainingError, match="validation changed"):
        train(replace(tiny, steps=1, validation="other"), resume=True)


@pytest.mark.parametrize("started", ["fresh", "shipped"])
def test_norms_without_statistics_are_trained_folded(tiny, tmp_path, started):
    """With the statistics of batches the shipped weights would be another function at the first step."""
    torch.manual_seed(0)
    network = build(preset("nano_b"))
    save_weights(
        network if started == "fresh" else unfolded(folded(disturbed(network))), tmp_path / "w.safetensors"
    )
    said = []
    config = replace(tiny, model="nano_b", init=str(tmp_path / "w.safetensors"), steps=1, max_lr=1e-9)
    train(config, report=said.append)
    assert any("folded" in line for line in said) == (started == "shipped")
    if started == "shipped":
        images = torch.rand(1, 3, 64, 64) * 100
        with torch.inference_mode():
            before = load_weights(tmp_path / "w.safetensors")(images)[0]
            after = load_weights(tmp_path / "tiny" / "last.safetensors")(images)[0]
        torch.testing.assert_close(after, before, rtol=1e-3, atol=1e-3)


def disturbed(network):
    """With statistics in its batch norms, as after a training."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def test_only_what_is_named_learns(tiny, tmp_path):
    torch.manual_seed(0)
    save_weights(build(preset("nano_b")), tmp_path / "w.safetensors")
    names = ("heads.2", "context.2")
    config = replace(
        tiny, model="nano_b", init=str(tmp_path / "w.safetensors"), steps=2, trainable=names, ema=0.0
    )
    train(config)
    before, after = load_file(tmp_path / "w.safetensors"), load_file(tmp_path / "tiny" / "last.safetensors")
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all(key.startswith(tuple(f"{name}." for name in names)) for key in changed)
    assert {name for name in names if any(key.startswith(name) for key in changed)} == set(names)


def test_a_frozen_stem_stays_as_it_is(tiny, tmp_path):
    torch.manual_seed(0)
    save_weights(build(preset("nano_b")), tmp_path / "w.safetensors")
    config = replace(
        tiny, model="nano_b", init=str(tmp_path / "w.safetensors"), steps=2, freeze_stem=True, ema=0.0
    )
    train(config)
    before, after = load_file(tmp_path / "w.safetensors"), load_file(tmp_path / "tiny" / "last.safetensors")
    frozen = [k for k in before if k.startswith(tuple(f"backbone.stage1.{i}." for i in range(4)))]
    assert frozen and all(torch.equal(before[k], after[k]) for k in frozen)
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("backbone.stage2"))
