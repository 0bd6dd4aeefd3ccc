"""Assignment and losses against what the papers say, written out naively."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featherface.boxes import decode_boxes as decode_numpy
from featherface.model import Predictions, build, preset
from featherface.train.assign import BACKGROUND, IGNORED, Targets, also_dense, dynamic_assign, multibox_assign
from featherface.train.config import DistillConfig, LossConfig
from featherface.train.distill import DistillationLoss, TeacherOutput, softened_divergence
from featherface.train.geometry import (
    ciou_loss,
    decode_boxes,
    eiou_loss,
    encode_boxes,
    encode_landmarks,
    paired_iou,
    to_xyxy,
)
from featherface.train.losses import DetectionLoss, crop_weights, prior_grid, quality_focal_loss, wing_loss

NETWORK = preset("v2")
SIZE = 128
GRID = prior_grid(NETWORK, SIZE)
VARIANCES = NETWORK.variances


def targets(*boxes, ignored=(), landmarks=None):
    points = torch.full((len(boxes), 5, 2), math.nan) if landmarks is None else landmarks
    return Targets(torch.tensor(boxes).view(-1, 4), points, torch.tensor(ignored).view(-1, 4))


def predictions(batch=1):
    torch.manual_seed(0)
    count = len(GRID.strides)
    return Predictions(
        torch.randn(batch, count, 2, requires_grad=True),
        (torch.randn(batch, count, 4) * 0.1).requires_grad_(),
        (torch.randn(batch, count, 10) * 0.1).requires_grad_(),
    )


def test_multibox_gives_every_face_its_best_prior_and_all_over_the_threshold():
    faces = targets([40.0, 40.0, 56.0, 56.0], [100.0, 20.0, 106.0, 26.0])
    matched = multibox_assign(GRID, faces, 0.35)
    assert set(matched.tolist()) == {BACKGROUND, 0, 1}
    best = (to_xyxy(GRID.boxes_cxcywh) - torch.tensor([40.0, 40.0, 56.0, 56.0])).abs().sum(1).argmin()
    assert matched[best] == 0
    assert (matched == 1).sum() == 1, (
        "six pixels overlap no prior by a third, but one is its own all the same"
    )


@pytest.mark.parametrize(
    ("box", "stride", "reason"),
    [
        pytest.param(
            [62.0, 62.0, 68.0, 68.0], 8, "smaller than every prior: the smallest still learn it", id="tiny"
        ),
        pytest.param([30.0, 30.0, 60.0, 66.0], 8, "about 32 pixels", id="small"),
        pytest.param([10.0, 10.0, 110.0, 120.0], 16, "about 105 pixels", id="large"),
    ],
)
def test_dynamic_assignment_finds_priors_of_the_right_size_near_the_face(box, stride, reason):
    decoded = decode_boxes(torch.zeros(len(GRID.strides), 4), GRID.boxes_cxcywh, VARIANCES)
    matched = dynamic_assign(GRID, targets(box), torch.zeros(len(decoded)), decoded, 2.6, 0.75)
    chosen = matched == 0
    assert chosen.any(), reason
    assert (GRID.strides[chosen] == stride).any(), reason
    centres = GRID.boxes_cxcywh[chosen, :2]
    reach = max(box[2] - box[0], box[3] - box[1]) / 2 + 0.75 * 32
    assert ((centres - torch.tensor([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])).abs() <= reach).all()


def test_dynamic_assignment_prefers_the_prior_that_predicts_better():
    decoded = decode_boxes(torch.zeros(len(GRID.strides), 4), GRID.boxes_cxcywh, VARIANCES)
    face = [33.0, 33.0, 47.0, 47.0]
    near = dynamic_assign(GRID, targets(face), torch.zeros(len(decoded)), decoded, 2.6, 0.75)
    other = (((GRID.boxes_cxcywh[:, :2] - 40).abs() <= 6).all(1) & (near != 0)).nonzero()[0, 0]
    decoded = decoded.clone()
    decoded[other] = torch.tensor(face)
    logits = torch.zeros(len(decoded))
    logits[other] = 5.0
    assert dynamic_assign(GRID, targets(face), logits, decoded, 2.6, 0.75)[other] == 0


def test_a_large_face_may_have_all_priors_that_overlap_it_as_multibox_gives_them():
    faces = targets([20.0, 20.0, 110.0, 120.0], [4.0, 4.0, 20.0, 20.0], ignored=[[60.0, 60.0, 64.0, 64.0]])
    decoded = decode_boxes(torch.zeros(len(GRID.strides), 4), GRID.boxes_cxcywh, VARIANCES)
    few = dynamic_assign(GRID, faces, torch.zeros(len(decoded)), decoded, 2.6, 0.75)
    many = also_dense(few, GRID, faces, 64.0, 0.35)
    large = GRID.boxes_cxcywh[:, 2] >= 64
    wanted = (multibox_assign(GRID, faces, 0.35) == 0) & large
    assert (few == 0).sum() <= 10 < wanted.sum(), "the case that this is for"
    assert (many[wanted & (few == BACKGROUND)] == 0).all()
    assert torch.equal(many[~wanted], few[~wanted]), (
        "nothing else changes, ignored and small priors least of all"
    )
    nobody = targets()
    assert torch.equal(also_dense(few, GRID, nobody, 64.0, 0.35), few)


def test_two_faces_never_share_a_prior():
    decoded = decode_boxes(torch.zeros(len(GRID.strides), 4), GRID.boxes_cxcywh, VARIANCES)
    faces = targets([40.0, 40.0, 56.0, 56.0], [42.0, 42.0, 58.0, 58.0])
    matched = dynamic_assign(GRID, faces, torch.zeros(len(decoded)), decoded, 2.6, 0.75)
    assert {0, 1} <= set(matched.tolist())


def test_ignored_faces_teach_nothing():
    found = predictions()
    loss = DetectionLoss(LossConfig(), NETWORK)
    loss(found, [targets(ignored=[[32.0, 32.0, 96.0, 96.0]])], SIZE).total.backward()
    inside = ((GRID.boxes_cxcywh[:, :2] - 64).abs() < 32).all(1)
    gradient = found.class_logits.grad[0].abs().sum(1)
    assert gradient[inside].max() == 0
    assert gradient[~inside].min() > 0


def test_faces_without_landmarks_train_the_box_only():
    found = predictions()
    DetectionLoss(LossConfig(), NETWORK)(found, [targets([40.0, 40.0, 60.0, 60.0])], SIZE).total.backward()
    assert found.box_deltas.grad.abs().max() > 0
    assert found.landmark_deltas.grad is None or found.landmark_deltas.grad.abs().max() == 0


@pytest.mark.parametrize("classification", ["cross_entropy", "quality_focal"])
@pytest.mark.parametrize("assignment", ["multibox", "dynamic"])
@pytest.mark.parametrize("box", ["smooth_l1", "ciou", "eiou"])
def test_every_loss_falls_when_its_gradient_is_followed(assignment, classification, box):
    config = LossConfig(assignment=assignment, classification=classification, box=box)
    landmarks = torch.tensor([[[45.0, 45.0], [55.0, 45.0], [50.0, 50.0], [46.0, 55.0], [54.0, 55.0]]])
    faces = [targets([40.0, 40.0, 60.0, 60.0], landmarks=landmarks), targets()]
    found, loss = predictions(2), DetectionLoss(config, NETWORK)
    optimizer = torch.optim.Adam([found.class_logits, found.box_deltas, found.landmark_deltas], 0.02)
    totals = []
    for _ in range(25):
        total = loss(found, faces, SIZE).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert totals[-1] < 0.8 * totals[0]


def test_hard_negatives_are_seven_to_one():
    found = predictions()
    config = LossConfig(assignment="multibox", classification="cross_entropy")
    terms = DetectionLoss(config, NETWORK)(found, [targets([40.0, 40.0, 56.0, 56.0])], SIZE)
    terms.total.backward()
    learned = (found.class_logits.grad[0].abs().sum(1) > 0).sum()
    assert learned == terms.positives + max(10, 7 * terms.positives)


def naive_eiou(a, b):
    ax, ay, bx, by = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2, (b[0] + b[2]) / 2, (b[1] + b[3]) / 2
    cw, ch = max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])
    overlap = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
    sides = ((a[2] - a[0] - b[2] + b[0]) / cw) ** 2 + ((a[3] - a[1] - b[3] + b[1]) / ch) ** 2
    return 1 - overlap / union + ((ax - bx) ** 2 + (ay - by) ** 2) / (cw**2 + ch**2) + sides


corner = st.tuples(st.floats(0, 80), st.floats(0, 80), st.floats(2, 40), st.floats(2, 40)).map(
    lambda v: [v[0], v[1], v[0] + v[2], v[1] + v[3]]
)


@given(corner, corner)
@settings(max_examples=60, deadline=None)
def test_eiou_is_the_papers(a, b):
    found = eiou_loss(torch.tensor([a], dtype=torch.float64), torch.tensor([b], dtype=torch.float64))
    assert float(found[0]) == pytest.approx(naive_eiou(a, b), abs=1e-5)


@given(corner)
@settings(max_examples=30, deadline=None)
def test_a_perfect_box_costs_nothing(a):
    box = torch.tensor([a], dtype=torch.float64)
    assert float(eiou_loss(box, box)[0]) == pytest.approx(0, abs=1e-6)
    assert float(ciou_loss(box, box)[0]) == pytest.approx(0, abs=1e-6)
    assert float(paired_iou(box, box)[0]) == pytest.approx(1, abs=1e-6)


@given(corner, st.integers(0, len(GRID.strides) - 1))
@settings(max_examples=40, deadline=None)
def test_encoding_is_undone_by_decoding_here_and_in_the_detector(box, place):
    prior, wanted = GRID.boxes_cxcywh[place : place + 1], torch.tensor([box])
    deltas = encode_boxes(wanted, prior, VARIANCES)
    assert torch.allclose(decode_boxes(deltas, prior, VARIANCES), wanted, atol=0.05)
    assert torch.allclose(
        torch.from_numpy(decode_numpy(deltas.numpy(), prior.numpy(), VARIANCES)), wanted, atol=0.05
    )


def test_landmark_deltas_are_relative_to_the_prior():
    prior = torch.tensor([[50.0, 60.0, 20.0, 20.0]])
    points = torch.tensor([[[50.0, 60.0], [52.0, 60.0], [50.0, 58.0], [40.0, 60.0], [50.0, 70.0]]])
    deltas = encode_landmarks(points, prior, VARIANCES).view(5, 2)
    assert torch.allclose(
        deltas, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, -1.0], [-5.0, 0.0], [0.0, 5.0]])
    )


def test_quality_focal_loss_is_the_papers_with_beta_2():
    logits, target = torch.tensor([0.3, -2.0, 1.5]), torch.tensor([0.8, 0.0, 0.4])
    p = torch.sigmoid(logits)
    expected = -((target - p) ** 2) * ((1 - target) * torch.log(1 - p) + target * torch.log(p))
    assert torch.allclose(quality_focal_loss(logits, target), expected)


@pytest.mark.parametrize(
    ("image", "crops", "damping", "expected", "why"),
    [
        ([0, 0, 1], 2, 0.0, [1.0, 1.0], "no damping: every positive counts alike"),
        (
            [0] * 4 + [1],
            2,
            0.5,
            [5 / 6, 5 / 3],
            "4 and 1 positives: half the weight, of mean one over the five",
        ),
        ([0] * 4, 2, 1.0, [1.0, 4.0], "a crop without positives weighs like one with a single one"),
        ([], 2, 0.5, [1.0, 1.0], "no positives at all"),
    ],
)
def test_crowds_are_damped(image, crops, damping, expected, why):
    weights = crop_weights(torch.tensor(image, dtype=torch.long), crops, damping)
    assert weights.tolist() == pytest.approx(expected), why


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"large_weight": 2.0}, "a face of large priors weighs more"),
        ({"spare_overlap": 0.4}, "background whose box meets a face is spared"),
        ({"dense_prior": 64.0}, "a large face has all priors that overlap it"),
    ],
)
def test_a_switch_of_the_loss_acts_where_it_should_and_only_there(change, why):
    flat = Predictions(*(torch.zeros(1, len(GRID.strides), values) for values in (2, 4, 10)))
    plain, changed = (DetectionLoss(LossConfig(**values), NETWORK) for values in ({}, change))
    large, tiny = [targets([20.0, 20.0, 110.0, 110.0])], [targets([40.0, 40.0, 48.0, 48.0])]
    assert changed(flat, large, SIZE).total != plain(flat, large, SIZE).total, why
    assert changed(flat, tiny, SIZE).total == plain(flat, tiny, SIZE).total, "nothing to do with a tiny face"


def test_wing_loss_is_logarithmic_near_and_linear_far():
    value = [float(wing_loss(torch.tensor([d]), torch.tensor([0.0]))) for d in (0.0, 1.0, 10.0, 11.0)]
    assert value[0] == 0
    assert value[1] == pytest.approx(5 * math.log(2))
    assert value[3] - value[2] == pytest.approx(1.0, abs=1e-5)


def test_softening_scales_with_the_temperature_squared_and_is_zero_for_equals():
    teacher = torch.tensor([2.0, -1.0])
    assert torch.allclose(softened_divergence(teacher, teacher, 4.0), torch.zeros(2), atol=1e-6)
    p, q = torch.sigmoid(torch.tensor(2.0 / 4)), torch.sigmoid(torch.tensor(-1.0 / 4))
    expected = 16 * (p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q)))
    assert float(softened_divergence(torch.tensor([-1.0]), torch.tensor([2.0]), 4.0)[0]) == pytest.approx(
        float(expected), rel=1e-4
    )


def test_the_teacher_teaches_where_it_sees_faces_and_is_silent_on_background():
    found, count = predictions(), len(GRID.strides)
    logits = torch.full((1, count), -20.0)
    logits[0, 7] = 6.0
    teacher = TeacherOutput(logits, torch.zeros(1, count, 4), torch.zeros(1, count, 10))
    DistillationLoss(DistillConfig(), NETWORK)(found, teacher, SIZE).backward()
    learned = found.class_logits.grad[0].abs().sum(1) > 1e-6
    assert learned.nonzero().flatten().tolist() == [7]
    assert (found.box_deltas.grad[0].abs().sum(1) > 0).nonzero().flatten().tolist() == [7]


def test_a_network_and_its_grid_agree():
    with torch.no_grad():
        out = build(preset("nano_b")).eval()(torch.zeros(1, 3, SIZE, SIZE))
    assert out.class_logits.shape[1] == len(GRID.boxes_cxcywh) == len(GRID.strides)
    assert IGNORED != BACKGROUND
