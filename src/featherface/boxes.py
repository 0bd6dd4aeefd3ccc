"""Box geometry that torch, every runtime and the evaluator share: decode, encode, IoU, NMS, voting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float32]
_Indices = NDArray[np.intp]

# After this many kept boxes the suppressed ones are dropped from the arrays that are compared.
_COMPACT_EVERY = 64


def decode_boxes(box_deltas: _Array, priors: _Array, variances: tuple[float, float]) -> _Array:
    """Deltas (N, 4) and their priors (N, 4, cxcywh) to corners (N, 4) in the priors' pixels (Liu 2016, eq. 2)."""
    centre = priors[:, :2] + box_deltas[:, :2] * np.float32(variances[0]) * priors[:, 2:]
    half = priors[:, 2:] * np.exp(box_deltas[:, 2:] * np.float32(variances[1])) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def encode_boxes(boxes: _Array, priors: _Array, variances: tuple[float, float]) -> _Array:
    """Corners (N, 4) to the deltas that decode to them; sides must be over 0."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    offset = (centre - priors[:, :2]) / priors[:, 2:] / np.float32(variances[0])
    size = np.log((boxes[:, 2:] - boxes[:, :2]) / priors[:, 2:]) / np.float32(variances[1])
    return np.concatenate([offset, size], axis=1)


def decode_landmarks(landmark_deltas: _Array, priors: _Array, variances: tuple[float, float]) -> _Array:
    """Deltas (N, 10) and their priors to points (N, 5, 2) in pixels (RetinaFace, Deng 2020)."""
    offset = landmark_deltas.reshape(-1, 5, 2) * np.float32(variances[0]) * priors[:, None, 2:]
    return np.asarray(priors[:, None, :2] + offset, np.float32)


def encode_landmarks(landmarks: _Array, priors: _Array, variances: tuple[float, float]) -> _Array:
    """Points (N, 5, 2) to deltas (N, 10)."""
    offset = (landmarks - priors[:, None, :2]) / priors[:, None, 2:] / np.float32(variances[0])
    return offset.reshape(-1, 10)


def iou_matrix(first: _Array, second: _Array) -> _Array:
    """IoU of every pair of corners (N, 4) and (M, 4): (N, M). Empty boxes have IoU 0."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    overlap = (high - low).clip(0).prod(-1)
    union: _Array = _areas(first)[:, None] + _areas(second)[None] - overlap
    return np.asarray(np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0), np.float32)


def nms(boxes: _Array, scores: _Array, iou_threshold: float, max_detections: int | None = None) -> _Indices:
    """Greedy non-maximum suppression: indices of the kept boxes, best score first.

    A box is dropped when its IoU with a better kept one is over `iou_threshold`; of equal scores the earlier
    counts as better. Stops at `max_detections`.
    """
    order = np.argsort(-scores, kind="stable")
    limit = len(order) if max_detections is None else max_detections
    corners = np.ascontiguousarray(boxes[order].T, np.float32)
    shares = np.float32(iou_threshold) * _areas(boxes[order])
    ids, alive = np.arange(len(order)), np.ones(len(order), bool)
    factor = np.float32(1 + iou_threshold)
    kept: list[int] = []
    i = 0
    while i < len(ids) and len(kept) < limit:
        if not alive[i]:
            i += 1
            continue
        kept.append(int(ids[i]))
        # IoU > t  <=>  overlap (1 + t) > t (area + other area); all boxes after i at once, x and y stacked.
        sides = np.minimum(corners[2:, i : i + 1], corners[2:, i + 1 :])
        sides -= np.maximum(corners[:2, i : i + 1], corners[:2, i + 1 :])
        np.maximum(sides, 0, out=sides)
        alive[i + 1 :] &= sides[0] * sides[1] * factor <= shares[i + 1 :] + shares[i]
        i += 1
        if len(kept) % _COMPACT_EVERY == 0:
            rest = np.flatnonzero(alive[i:]) + i
            corners, shares, ids = corners[:, rest], shares[rest], ids[rest]
            alive, i = np.ones(len(rest), bool), 0
    return order[np.array(kept, np.intp)]


def vote(kept: _Array, boxes: _Array, scores: _Array, iou_threshold: float) -> _Array:
    """Box voting (Gidaris 2015): each kept box (K, 4) becomes the score-weighted mean of those it overlaps."""
    if len(kept) == 0:
        return kept
    voices = np.where(iou_matrix(kept, boxes) >= iou_threshold, scores[None], 0).astype(np.float32)
    total = voices.sum(1, keepdims=True)
    return np.where(total > 0, voices @ boxes / np.maximum(total, 1e-9), kept).astype(np.float32)


def _areas(boxes: _Array) -> _Array:
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)
