"""The rate over a training, and the moving average of its weights."""

from __future__ import annotations

import pytest
import torch

from featherface.train.schedule import moving_average, one_cycle


def test_the_rate_rises_then_falls_by_a_cosine(tiny):
    rates = [one_cycle(part, tiny) for part in (0.0, tiny.warmup, 0.55, 1.0)]
    assert rates[0] == pytest.approx(tiny.max_lr / 25)
    assert rates[1] == pytest.approx(tiny.max_lr)
    assert rates[2] == pytest.approx(tiny.max_lr / 2, rel=0.02)
    assert rates[3] == pytest.approx(tiny.max_lr / 2500)


@pytest.mark.parametrize(
    ("updates", "decay"),
    [
        pytest.param(1, 2 / 11, id="after the first, which is taken as it is: memory is short"),
        pytest.param(30, 31 / 40, id="later it is longer"),
        pytest.param(200, 0.9, id="then what the recipe says"),
    ],
)
def test_the_moving_average_is_one(updates, decay):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, 1.0)
    average = moving_average(model, 0.9)
    for _ in range(updates):
        average.update_parameters(model)
    torch.nn.init.constant_(model.weight, 2.0)
    average.update_parameters(model)
    assert float(average.module.weight.detach()) == pytest.approx(decay * 1.0 + (1 - decay) * 2.0)


def test_nothing_of_a_fresh_batch_norm_stays_in_the_average():
    """Where activations are small a trace of the first variance, 1, is many times theirs."""
    model = torch.nn.BatchNorm2d(1)
    average = moving_average(model, 0.999)
    for _ in range(500):
        average.update_parameters(model)
        model.running_var.fill_(1e-4)
    assert float(average.module.running_var) == pytest.approx(1e-4, rel=1e-3)
