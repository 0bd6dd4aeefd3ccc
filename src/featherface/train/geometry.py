"""Boxes in torch, with gradients: the twin of `featherface.boxes` that losses need."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_EPS = 1e-7


def to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """(..., 4) centre and size to corners."""
    centre, half = boxes_cxcywh[..., :2], boxes_cxcywh[..., 2:] / 2
    return torch.cat((centre - half, centre + half), -1)


def decode_boxes(box_deltas: Tensor, priors: Tensor, variances: tuple[float, float]) -> Tensor:
    """(..., P, 4) deltas and (P, 4) priors cxcywh to corners. Log-sizes are clamped so exp stays finite."""
    centre = priors[..., :2] + box_deltas[..., :2] * variances[0] * priors[..., 2:]
    size = priors[..., 2:] * torch.exp((box_deltas[..., 2:] * variances[1]).clamp(-6, 6))
    return to_xyxy(torch.cat((centre, size), -1))


def encode_boxes(boxes: Tensor, priors: Tensor, variances: tuple[float, float]) -> Tensor:
    """Corners (P, 4) to the deltas that decode to them."""
    size = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2 - priors[:, :2]) / priors[:, 2:] / variances[0]
    return torch.cat((centre, torch.log(size / priors[:, 2:]) / variances[1]), 1)


def encode_landmarks(landmarks: Tensor, priors: Tensor, variances: tuple[float, float]) -> Tensor:
    """Points (P, 5, 2) to deltas (P, 10)."""
    deltas = (landmarks - priors[:, None, :2]) / priors[:, None, 2:] / variances[0]
    return deltas.flatten(1)


def iou_matrix(first: Tensor, second: Tensor) -> Tensor:
    """IoU of every pair of corners (N, 4), (M, 4): (N, M)."""
    return _iou_terms(first[:, None], second[None])[0]


def paired_iou(first: Tensor, second: Tensor) -> Tensor:
    """IoU of corners (N, 4) row by row: (N,)."""
    return _iou_terms(first, second)[0]


def ciou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - CIoU (Zheng 2020, eq. 10) row by row: (N,)."""
    iou, distance, _ = _iou_terms(predicted, target)
    size, wanted = predicted[:, 2:] - predicted[:, :2], target[:, 2:] - target[:, :2]
    angle = torch.atan2(wanted[:, 0], wanted[:, 1]) - torch.atan2(size[:, 0], size[:, 1])
    aspect = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        balance = aspect / (1 - iou + aspect + _EPS)
    return 1 - iou + distance + balance * aspect


def eiou_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """1 - EIoU (Zhang 2021, eq. 6) row by row: (N,)."""
    iou, distance, hull = _iou_terms(predicted, target)
    size, wanted = predicted[:, 2:] - predicted[:, :2], target[:, 2:] - target[:, :2]
    sides = ((size - wanted).square() / (hull.square() + _EPS)).sum(-1)
    return 1 - iou + distance + sides


def _iou_terms(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """IoU, squared centre distance over the hull's squared diagonal, and the hull's sides (..., 2)."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    areas = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1)
    iou = overlap / (areas - overlap + _EPS)
    outer_low = torch.minimum(first[..., :2], second[..., :2])
    hull = torch.maximum(first[..., 2:], second[..., 2:]) - outer_low
    shift = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    distance = shift.square().sum(-1) / (hull.square().sum(-1) + _EPS)
    return iou, distance, hull
