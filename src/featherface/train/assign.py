"""Which prior learns which face.

Both assigners return `matched` (P,) long: the face's row, or BACKGROUND, or IGNORED (no loss either way).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from featherface.train.geometry import iou_matrix, to_xyxy

BACKGROUND = -1
IGNORED = -2
_TOP_CANDIDATES = 10
_IOU_COST = 3.0


@dataclass(frozen=True)
class PriorGrid:
    """The priors of one crop size: (P, 4) cxcywh in pixels, and each one's stride (P,)."""

    boxes_cxcywh: Tensor
    strides: Tensor


@dataclass(frozen=True)
class Targets:
    """One crop's faces as tensors: boxes (N, 4), landmarks (N, 5, 2) NaN where unknown; ignored boxes (M, 4)."""

    boxes: Tensor
    landmarks: Tensor
    ignored: Tensor


def multibox_assign(grid: PriorGrid, targets: Targets, threshold: float) -> Tensor:
    """IoU matching (Liu 2016, section 2.2): over the threshold, and each face its best prior at least."""
    matched = _empty(grid, targets)
    if len(targets.boxes) == 0:
        return matched
    iou = iou_matrix(to_xyxy(grid.boxes_cxcywh), targets.boxes)
    best, face = iou.max(1)
    matched = torch.where(best >= threshold, face, matched)
    best_prior = iou.argmax(0)
    matched[best_prior] = torch.arange(len(targets.boxes))
    return matched


def dynamic_assign(
    grid: PriorGrid,
    targets: Targets,
    face_logits: Tensor,
    boxes: Tensor,
    candidate_ratio: float,
    candidate_radius: float,
) -> Tensor:
    """SimOTA-like (Ge 2021, section 2.1): each face takes the k priors that predict it at least cost.

    Candidates have their centre inside the face, or within `candidate_radius` strides of its centre (an
    8-pixel face seldom holds a cell's centre), and a size within `candidate_ratio` of the face's, which is
    first clamped to the range of prior sizes. Cost is the class loss plus three times -log IoU of the
    *predicted* box; k is the sum of the ten best IoUs, at least one. A prior wanted twice goes to the
    cheaper. `face_logits` (P,) and `boxes` (P, 4) xyxy are the network's, without gradient.
    """
    matched = _empty(grid, targets)
    if len(targets.boxes) == 0:
        return matched
    candidate = _candidates(grid, targets.boxes, candidate_ratio, candidate_radius)
    columns = candidate.any(0).nonzero()[:, 0]
    candidate = candidate[:, columns]
    iou = iou_matrix(targets.boxes, boxes[columns]).masked_fill(~candidate, 0.0)
    cost = F.softplus(-face_logits[columns])[None] - _IOU_COST * torch.log(iou + 1e-6)
    cost = cost.masked_fill(~candidate, float("inf"))
    take = min(_TOP_CANDIDATES, iou.shape[1])
    k = iou.topk(take, dim=1).values.sum(1).int().clamp(min=1)
    cheapest, place = cost.topk(take, dim=1, largest=False)
    chosen = (torch.arange(take)[None] < k[:, None]) & cheapest.isfinite()
    face = torch.arange(len(cost))[:, None].expand_as(place)[chosen]
    prior, price = place[chosen], cheapest[chosen]
    # Dearest first, so that for a prior wanted twice the cheaper face is written last.
    order = price.argsort(descending=True, stable=True)
    matched[columns[prior[order]]] = face[order]
    return matched


def also_dense(
    matched: Tensor, grid: PriorGrid, targets: Targets, smallest: float, threshold: float
) -> Tensor:
    """`matched`, and background priors of side `smallest` or more take the face that they overlap by `threshold`.

    The choice of `dynamic_assign` leaves a large face ten priors at most. MultiBox gives it some forty, whose scores
    speak for it together; a teacher of that kind is right about them, and must not be taught away as background.
    """
    if len(targets.boxes) == 0:
        return matched
    best, face = iou_matrix(to_xyxy(grid.boxes_cxcywh), targets.boxes).max(1)
    more = (matched == BACKGROUND) & (best >= threshold) & (grid.boxes_cxcywh[:, 2] >= smallest)
    return torch.where(more, face, matched)


def _candidates(grid: PriorGrid, boxes: Tensor, ratio: float, radius: float) -> Tensor:
    """(N, P) bool: which priors may take which face."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = boxes[:, 2:] - boxes[:, :2]
    reach = torch.maximum(sides[:, None] / 2, radius * grid.strides[None, :, None])
    near = ((grid.boxes_cxcywh[None, :, :2] - centres[:, None]).abs() <= reach).all(-1)
    prior_sizes = grid.boxes_cxcywh[:, 2]
    sizes = sides.prod(1).sqrt().clamp(float(prior_sizes.min()), float(prior_sizes.max()))
    relative = (prior_sizes[None] / sizes[:, None]).log().abs()
    return near & (relative <= torch.log(torch.tensor(ratio)))


def _empty(grid: PriorGrid, targets: Targets) -> Tensor:
    """All background, except priors whose cell lies in an ignored face."""
    centres, half = grid.boxes_cxcywh[:, :2], grid.strides[:, None] / 2
    matched = torch.full((len(centres),), BACKGROUND)
    if len(targets.ignored):
        low, high = targets.ignored[:, None, :2] - half, targets.ignored[:, None, 2:] + half
        inside = ((centres > low) & (centres < high)).all(-1).any(0)
        matched[inside] = IGNORED
    return matched
