"""What one step does beside the loss: gradients cut to a norm, decay where it belongs, the quicker precision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.train.conftest import train

from featherface.errors import TrainingError
from featherface.model import build, preset
from featherface.model.weights import load_weights
from featherface.train import stage
from featherface.train import task as task_module
from featherface.train.parameters import parameter_groups


@pytest.mark.parametrize(
    ("clip", "most"),
    [
        pytest.param(0.0, None, id="not at all"),
        pytest.param(1e-3, 1e-3, id="to this norm"),
    ],
)
def test_gradients_are_cut_to_the_norm(tiny, monkeypatch, clip, most):
    """What the optimizer is given: AdamW itself hides the gradient's size."""
    norms = []

    def step(self, *_):
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in grads]).norm()))

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    train(replace(tiny, steps=2, clip_norm=clip))
    assert len(norms) == 2
    assert all(norm > 0.1 for norm in norms) if most is None else all(norm < 1.01 * most for norm in norms)


def test_a_gradient_that_is_no_number_stops_the_run_with_its_batch(tiny, tmp_path, monkeypatch):
    """The loss may be finite and its gradient not: a root of zero has none."""
    whole = task_module.TrainTask.__call__

    def rooted(self, model, batch, step, part=0.0):
        loss, parts = whole(self, model, batch, step, part)
        weight = next(model.parameters())
        return loss + (0 * weight.sum()).sqrt(), parts

    monkeypatch.setattr(task_module.TrainTask, "__call__", rooted)
    with pytest.raises(
        TrainingError, match=r"the gradient became nan; batch of step 0 saved as .*bad_batch_0\.npz"
    ):
        train(replace(tiny, steps=1))
    assert (tmp_path / "tiny" / "bad_batch_0.npz").exists()


def test_weights_of_convs_decay_and_nothing_else():
    network = build(preset("nano_b"))
    groups = parameter_groups(network, 0.01)
    names = {id(p): name for name, p in network.named_parameters()}
    decayed = {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]}
    kept = {names[id(p)] for group in groups if not group["weight_decay"] for p in group["params"]}
    assert decayed | kept == set(names.values()) and not decayed & kept
    assert all(name.endswith("weight") for name in decayed)
    assert any(name.endswith("bias") for name in kept) and any("_weights" in name for name in kept)


@pytest.mark.parametrize(
    ("precision", "seconds", "expected", "timed"),
    [
        pytest.param("fp32", (9.0, 1.0), False, 0, id="asked for fp32"),
        pytest.param("bf16", (1.0, 9.0), True, 0, id="asked for bf16"),
        pytest.param("auto", (1.0, 9.0), False, 2, id="bf16 without instructions for it"),
        pytest.param("auto", (1.0, 0.5), True, 2, id="bf16 is quicker"),
        pytest.param("auto", (1.0, 0.95), False, 2, id="a twentieth is not worth its rounding"),
    ],
)
def test_the_quicker_precision_is_taken(tiny, monkeypatch, precision, seconds, expected, timed):
    asked = []

    def time_step(config, network, batch, bf16):
        asked.append(bf16)
        return seconds[bf16]

    monkeypatch.setattr(stage, "_time_step", time_step)
    config = replace(tiny, precision=precision)
    dataset = stage.CropDataset.of(config.data, 0)
    assert stage._use_bf16(config, build(preset("nano_b")), dataset, lambda _: None) == expected
    assert len(asked) == timed


def test_a_run_in_bf16_learns_and_keeps_fp32_weights(tiny, tmp_path):
    outcome = train(replace(tiny, steps=2, precision="bf16"))
    assert outcome.finished
    assert {p.dtype for p in load_weights(outcome.weights).parameters()} == {torch.float32}
