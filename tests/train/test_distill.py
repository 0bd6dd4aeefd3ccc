"""How much of the loss is the teacher's, over a stage."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from featherface.errors import ConfigError
from featherface.model import Predictions, build, preset
from featherface.train.augment import no_labels
from featherface.train.config import DistillConfig, TrainConfig
from featherface.train.distill import DistillationLoss, TeacherOutput, annealed
from featherface.train.loading import Batch
from featherface.train.losses import prior_grid
from featherface.train.task import TrainTask
from featherface.train.teacher import check_teaches, normalise

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
    assert annealed(0.6, last, part) == pytest.approx(alpha)


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


GRID = prior_grid(NETWORK, SIZE)


def said(face_logits):
    """Outputs with these face logits (P,) at every prior, no deltas."""
    count = len(GRID.strides)
    logits = torch.stack([torch.zeros(count), face_logits.expand(count)], 1)[None]
    return Predictions(logits, torch.zeros(1, count, 4), torch.zeros(1, count, 10))


def taught(face_logits, box_deltas=None):
    output = said(face_logits)
    boxes = output.box_deltas if box_deltas is None else box_deltas
    return TeacherOutput(output.class_logits[..., 1], boxes, output.landmark_deltas)


def test_a_teacher_of_large_priors_says_nothing_of_small_ones():
    large = GRID.boxes_cxcywh[:, 2] >= 64
    wrong_below = torch.where(large, 0.0, 6.0)
    loss = DistillationLoss(DistillConfig(temperature=1.0, smallest_prior=64.0), NETWORK)
    assert float(loss(said(torch.tensor(0.0)), taught(wrong_below), SIZE)) == pytest.approx(0, abs=1e-6)
    wrong_above = torch.where(large, 6.0, 0.0)
    assert float(loss(said(torch.tensor(0.0)), taught(wrong_above), SIZE)) > 0.1


@pytest.mark.parametrize("output", ["box", "landmark"])
@pytest.mark.parametrize(
    ("last", "ends_at"),
    [
        pytest.param(-1.0, 0.8, id="stays where no end is asked for"),
        pytest.param(0.2, 0.2, id="falls"),
        pytest.param(0.0, 0.0, id="falls to nothing"),
        pytest.param(1.6, 1.6, id="rises"),
    ],
)
def test_the_weight_of_each_output_is_annealed_by_itself(output, last, ends_at):
    """Only that output is off: what its weight makes of the loss is all there is."""
    weights = {
        "box_weight": 0.0,
        "landmark_weight": 0.0,
        f"{output}_weight": 0.8,
        f"final_{output}_weight": last,
    }
    loss = DistillationLoss(DistillConfig(**weights), NETWORK)
    sure = torch.full((len(GRID.strides),), 3.0)
    student, teacher = said(sure), taught(sure)
    off = teacher._replace(box_deltas=teacher.box_deltas + 1, landmark_deltas=teacher.landmark_deltas + 1)
    first, half, end = (float(loss(student, off, SIZE, part)) for part in (0.0, 0.5, 1.0))
    assert first > 0.1
    assert half == pytest.approx(first * (0.8 + ends_at) / 1.6, rel=1e-4)
    assert end == pytest.approx(first * ends_at / 0.8, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(
    ("weigh_by", "unlearns"),
    [
        pytest.param("teacher", False, id="what the teacher holds for background weighs nothing"),
        pytest.param("either", True, id="the student's own score weighs, too"),
    ],
)
def test_whether_a_false_alarm_is_unlearned(weigh_by, unlearns):
    loss = DistillationLoss(DistillConfig(temperature=1.0, weigh_by=weigh_by), NETWORK)
    alarm = torch.full((len(GRID.strides),), -12.0)
    alarm[7] = 4.0
    cost = float(loss(said(alarm), taught(torch.full_like(alarm, -12.0)), SIZE))
    assert (cost > 0.5) == unlearns, cost


@pytest.mark.parametrize(("every", "asked"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (4, [0, 4])])
def test_the_teacher_is_asked_on_every_nth_batch(every, asked):
    torch.manual_seed(0)
    steps = []

    def teacher(pixels):
        steps.append(step)
        return taught(torch.tensor(-3.0))

    task = TrainTask(TrainConfig(distill=DistillConfig(every=every)), build(NETWORK), teacher, bf16=False)
    batch = Batch(torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8), [no_labels()])
    for step in range(5):
        _, parts = task(build(NETWORK).eval(), batch, step)
        assert ("distillation" in parts) == (step in asked)
    assert steps == asked


def of_size(side):
    """A teacher that takes pictures of one size only."""

    def teacher(pixels):
        if pixels.shape[-1] != side:
            raise RuntimeError("Got invalid dimensions for input")
        return taught(torch.tensor(0.0))

    return teacher


@pytest.mark.parametrize(
    ("teacher", "student", "says"),
    [
        pytest.param(of_size(SIZE), NETWORK, None, id="fits"),
        pytest.param(of_size(640), NETWORK, "does not take crops of 64x64", id="of another size"),
        pytest.param(
            of_size(SIZE),
            replace(NETWORK, prior_sizes=((16,), (64,), (256,))),
            "168 priors in a crop of 64x64, 84 in the student",
            id="of other priors",
        ),
    ],
)
def test_a_teacher_that_cannot_teach_this_student_is_refused_before_the_first_step(teacher, student, says):
    if says is None:
        check_teaches(teacher, "t.onnx", student, SIZE)
        return
    with pytest.raises(ConfigError, match=f"t.onnx: {says}"):
        check_teaches(teacher, "t.onnx", student, SIZE)
