"""A student that learns from the labels and from a frozen teacher at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.model.config import ModelConfig
from featherface.model.network import Predictions
from featherface.train.config import DistillConfig
from featherface.train.distributed import mean_over_processes
from featherface.train.geometry import decode_boxes, eiou_loss
from featherface.train.losses import prior_grid

_SURE = 0.3


class TeacherOutput(NamedTuple):
    """What a teacher says of a batch: face logits (B, P), box deltas (B, P, 4), landmark deltas (B, P, 10).

    One that runs in torch also shows the maps (B, C, H/s, W/s) that its heads read.
    """

    face_logits: Tensor
    box_deltas: Tensor
    landmark_deltas: Tensor
    maps: tuple[Tensor, ...] = ()


Teacher = Callable[[Tensor], TeacherOutput]
"""Takes images (B, 3, S, S) uint8 RGB; never has gradients."""


class DistillationLoss(nn.Module):
    """The teacher's term (Hinton 2015, section 2, for the classes).

    Classes: cross-entropy between the distributions softened by the temperature T, times T squared, less
    the teacher's own entropy, weighted by the teacher's score: a plain mean over all priors drowns in
    background, and a teacher that misses small faces must not unteach them. With `weigh_by` "either" the
    student's score weighs too, and it unlearns what the teacher holds for background. Boxes (EIoU) and
    landmarks (smooth L1) count where the teacher is sure, in proportion to its score, with weights of their own that
    may be annealed. Priors smaller than `smallest_prior` are left to the labels.
    """

    def __init__(self, config: DistillConfig, model: ModelConfig) -> None:
        super().__init__()
        self.config, self.model = config, model

    def forward(self, student: Predictions, teacher: TeacherOutput, size: int, part: float = 0.0) -> Tensor:
        """Scalar loss for a batch of crops of side `size` pixels when `part`, 0 to 1, of the stage is done."""
        config = self.config
        logits = student.class_logits.float()
        face_logits = logits[..., 1] - logits[..., 0]
        boxes_cxcywh = prior_grid(self.model, size).boxes_cxcywh
        asked = (boxes_cxcywh[:, 2] >= config.smallest_prior).to(face_logits)
        score = teacher.face_logits.sigmoid() * asked
        weight = score
        if config.weigh_by == "either":
            weight = torch.maximum(score, face_logits.detach().sigmoid() * asked)
        mass = mean_over_processes(weight.sum()).clamp(min=1.0)
        classes = (weight * softened_divergence(face_logits, teacher.face_logits, config.temperature)).sum()

        image, prior = (score > _SURE).nonzero(as_tuple=True)
        sure = score[image, prior]
        priors = boxes_cxcywh[prior]
        found = decode_boxes(student.box_deltas[image, prior].float(), priors, self.model.variances)
        taught = decode_boxes(teacher.box_deltas[image, prior], priors, self.model.variances)
        boxes = (sure * eiou_loss(found, taught)).sum()
        off = F.smooth_l1_loss(
            student.landmark_deltas[image, prior].float(),
            teacher.landmark_deltas[image, prior],
            reduction="none",
        )
        landmarks = (sure * off.sum(1)).sum()
        box_weight = annealed(config.box_weight, config.final_box_weight, part)
        landmark_weight = annealed(config.landmark_weight, config.final_landmark_weight, part)
        total: Tensor = classes + box_weight * boxes + landmark_weight * landmarks
        return total / mass


def annealed(first: float, last: float, part: float) -> float:
    """A weight when `part` of the stage is done, on the line from `first` to `last`; a negative `last` keeps it."""
    return first if last < 0 else first + (last - first) * min(part, 1.0)


def softened_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher || student) of the two-class distributions softened by T, element by element."""
    target = torch.sigmoid(teacher / temperature)
    cross = F.binary_cross_entropy_with_logits(student / temperature, target, reduction="none")
    entropy = F.binary_cross_entropy_with_logits(teacher / temperature, target, reduction="none")
    return temperature**2 * (cross - entropy)
