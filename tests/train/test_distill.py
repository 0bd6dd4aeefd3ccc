"""How much of the loss is the teacher's, over a stage."""

from __future__ import annotations

import pytest
import torch

from featherface.model import build, preset
from featherface.train.augment import no_labels
from featherface.train.config import DistillConfig, TrainConfig
from featherface.train.data import Batch
from featherface.train.distill import TeacherOutput
from featherface.train.task import TrainTask, annealed_alpha
from featherface.train.teacher import normalise

NETWORK = preset("nano_b")
SIZE = 64


@pytest.mark.parametrize(
    ("last", "part", "alpha"),
    [
        pytest.param(-1.0, 0.9, 0.6, id="stays where no end is asked for"),
        pytest.param(0.0, 0.0, 0.6, id="begins at alpha"),
        pytest.param(0.0, 0.5, 0.3, id="half way"),
        pytest.param(0.2, 1.0, 0.2, id="ends at the last alpha"),
        pytest.param(0.9, 0.5, 0.75, id="may rise"),
        pytest.param(0.0, 1.1, 0.0, id="never beyond it"),
    ],
)
def test_the_teachers_share_is_annealed(last, part, alpha):
    config = DistillConfig(alpha=0.6, final_alpha=last)
    assert annealed_alpha(config, part) == pytest.approx(alpha)


def test_a_step_mixes_by_the_share_of_its_part_of_the_stage():
    """A teacher that says the student's own words costs nothing: what is left is the labels' share."""
    torch.manual_seed(0)
    model = build(NETWORK).eval()
    config = TrainConfig(distill=DistillConfig(alpha=0.8, final_alpha=0.2))
    same = model.train(False)

    def teacher(pixels):
        with torch.no_grad():
            logits, boxes, landmarks = same(normalise(pixels))
        return TeacherOutput(logits[..., 1] - logits[..., 0], boxes, landmarks)

    images = torch.randint(0, 255, (1, 3, SIZE, SIZE), dtype=torch.uint8)
    task = TrainTask(config, model, teacher, bf16=False)
    totals = [float(task(model, Batch(images, [no_labels()]), 0, part)[0].detach()) for part in (0.0, 1.0)]
    assert totals[1] == pytest.approx(4 * totals[0], rel=1e-3)
