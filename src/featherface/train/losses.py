"""The task loss: class, box and landmark terms over the priors that the assignment names."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.model.config import ModelConfig
from featherface.model.network import Predictions
from featherface.priors import prior_boxes
from featherface.train.assign import (
    BACKGROUND,
    IGNORED,
    PriorGrid,
    Targets,
    also_dense,
    dynamic_assign,
    multibox_assign,
)
from featherface.train.augment import Labels
from featherface.train.config import LossConfig
from featherface.train.distributed import mean_over_processes
from featherface.train.geometry import (
    ciou_loss,
    decode_boxes,
    eiou_loss,
    encode_boxes,
    encode_landmarks,
    iou_matrix,
    paired_iou,
)

_WING_WIDTH, _WING_CURVE = 5.0, 1.0


class LossTerms(NamedTuple):
    """What one batch cost: the weighted total and its parts, and the number of positive priors."""

    total: Tensor
    classes: Tensor
    boxes: Tensor
    landmarks: Tensor
    positives: int


class DetectionLoss(nn.Module):
    """Task loss of a batch of crops of one size. Landmark terms count only faces that have landmarks."""

    def __init__(self, config: LossConfig, model: ModelConfig) -> None:
        super().__init__()
        self.config, self.model = config, model

    def forward(self, predictions: Predictions, targets: list[Targets], size: int) -> LossTerms:
        """`predictions` for B crops of side `size` pixels; one `Targets` a crop."""
        config = self.config
        grid = prior_grid(self.model, size)
        logits = predictions.class_logits.float()
        face_logits = logits[..., 1] - logits[..., 0]
        boxes = decode_boxes(predictions.box_deltas.float(), grid.boxes_cxcywh, self.model.variances)
        matched = torch.stack(
            [
                self._assign(grid, t, z.detach(), b.detach())
                for t, z, b in zip(targets, face_logits, boxes, strict=True)
            ]
        )
        image, prior = (matched >= 0).nonzero(as_tuple=True)
        positives = mean_over_processes(torch.tensor(float(len(prior)))).clamp(min=1.0)
        wanted, points = _of_faces(targets, image, matched[image, prior])
        priors = grid.boxes_cxcywh[prior]
        crops = crop_weights(image, len(targets), config.crowd_damping)
        large = torch.where(priors[:, 2] >= config.large_prior, config.large_weight, 1.0)

        found = boxes[image, prior]
        quality = paired_iou(found.detach(), wanted)
        weight = crops[:, None].repeat(1, face_logits.shape[1])
        weight[image, prior] *= large
        classes = self._class_term(face_logits, matched, quality, weight) / positives
        box = self._box_term(predictions.box_deltas[image, prior].float(), found, wanted, priors)
        box = (crops[image] * large * box).sum() / positives
        known = points[:, 0, 0].isfinite()
        deltas = predictions.landmark_deltas[image, prior].float()[known]
        aimed = encode_landmarks(points[known], priors[known], self.model.variances)
        points_known = mean_over_processes(known.sum().float()).clamp(min=1.0)
        landmark = self._landmark_term(deltas, aimed) / points_known
        total = config.class_weight * classes + config.box_weight * box + config.landmark_weight * landmark
        return LossTerms(total, classes.detach(), box.detach(), landmark.detach(), len(prior))

    def _assign(self, grid: PriorGrid, targets: Targets, face_logits: Tensor, boxes: Tensor) -> Tensor:
        config = self.config
        if config.assignment == "multibox":
            matched = multibox_assign(grid, targets, config.overlap_threshold)
        else:
            matched = dynamic_assign(
                grid, targets, face_logits, boxes, config.candidate_ratio, config.candidate_radius
            )
            if config.dense_prior:
                matched = also_dense(matched, grid, targets, config.dense_prior, config.overlap_threshold)
        if config.spare_overlap and len(targets.boxes):
            near = iou_matrix(boxes, targets.boxes).amax(1) > config.spare_overlap
            matched[near & (matched == BACKGROUND)] = IGNORED
        return matched

    def _class_term(self, face_logits: Tensor, matched: Tensor, quality: Tensor, weight: Tensor) -> Tensor:
        positive, counted = matched >= 0, matched != IGNORED
        if self.config.classification == "quality_focal":
            target = torch.zeros_like(face_logits)
            target[positive] = quality.clamp(min=1e-3) ** self.config.quality_power
            return (weight * quality_focal_loss(face_logits, target))[counted].sum()
        losses = weight * F.binary_cross_entropy_with_logits(face_logits, positive.float(), reduction="none")
        return losses[positive].sum() + _hard_negatives(losses, positive, counted, self.config).sum()

    def _box_term(self, deltas: Tensor, found: Tensor, wanted: Tensor, priors: Tensor) -> Tensor:
        if self.config.box == "smooth_l1":
            aimed = encode_boxes(wanted, priors, self.model.variances)
            return F.smooth_l1_loss(deltas, aimed, reduction="none").sum(1)
        return (eiou_loss if self.config.box == "eiou" else ciou_loss)(found, wanted)

    def _landmark_term(self, deltas: Tensor, aimed: Tensor) -> Tensor:
        if self.config.landmark == "wing":
            return wing_loss(deltas, aimed)
        return F.smooth_l1_loss(deltas, aimed, reduction="sum")


def quality_focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """|target - p|^2 times cross-entropy, element by element (Li 2020, "Generalized Focal Loss", eq. 5, beta 2)."""
    losses = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return losses * (target - logits.sigmoid()).square()


def crop_weights(image: Tensor, crops: int, damping: float) -> Tensor:
    """A weight (crops,) for each crop from its number of positives, n ** -damping, of mean 1 over the positives.

    `image` (N,) is the crop of each positive. A tenth of the crops, crowds, holds more than half of all positives.
    """
    count = torch.bincount(image, minlength=crops).float()
    weight = count.clamp(min=1.0) ** -damping
    whole, weighted = mean_over_processes(count.sum()), mean_over_processes((weight * count).sum())
    return weight * whole / weighted if whole > 0 else weight


def wing_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """Logarithmic near zero, linear far off, summed (Feng 2018, eq. 5), in units of deltas."""
    distance = (found - wanted).abs()
    near = _WING_WIDTH * torch.log1p(distance / _WING_CURVE)
    offset = _WING_WIDTH - _WING_WIDTH * torch.log1p(torch.tensor(_WING_WIDTH / _WING_CURVE))
    return torch.where(distance < _WING_WIDTH, near, distance - offset).sum()


@lru_cache(maxsize=8)
def prior_grid(model: ModelConfig, size: int) -> PriorGrid:
    """The priors of a square crop, as tensors."""
    boxes = torch.from_numpy(prior_boxes(size, size, model.strides, model.prior_sizes).copy())
    strides = [
        torch.full(((-(-size // s)) ** 2 * len(sizes),), float(s))
        for s, sizes in zip(model.strides, model.prior_sizes, strict=True)
    ]
    return PriorGrid(boxes, torch.cat(strides))


def to_targets(labels: Labels) -> Targets:
    """A crop's labels as tensors, ignored faces apart."""
    kept = ~labels.ignored
    return Targets(
        torch.from_numpy(labels.boxes[kept]),
        torch.from_numpy(labels.landmarks[kept]),
        torch.from_numpy(labels.boxes[labels.ignored]),
    )


def _of_faces(targets: list[Targets], image: Tensor, face: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes and landmarks of the faces that the positive priors learn."""
    starts = torch.tensor([0, *(len(t.boxes) for t in targets)]).cumsum(0)
    row = starts[image] + face
    return torch.cat([t.boxes for t in targets])[row], torch.cat([t.landmarks for t in targets])[row]


def _hard_negatives(losses: Tensor, positive: Tensor, counted: Tensor, config: LossConfig) -> Tensor:
    """The costliest background priors of each crop, in proportion to its positives (at least ten)."""
    background = losses.detach().masked_fill(positive | ~counted, -1.0)
    rank = background.argsort(1, descending=True).argsort(1)
    wanted = (config.negatives_per_positive * positive.sum(1)).clamp(min=10)
    return losses[(rank < wanted[:, None]) & (background >= 0)]
