"""Box geometry that torch, every runtime and the evaluator share: decode, encode, IoU, NMS, voting."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_Array = NDArray[np.float32]
_Indices = NDArray[np.intp]

# NMS compares the best boxes with all others, this many at a time, for as long as each of them clears away enough;
# what is left, many small heaps, is compared in blocks of neighbours.
_ROUNDS = 16
_WORTH_A_ROUND = 20
_BLOCK = 64
_FIRST_LOOK = 3


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
    # IoU > t  <=>  overlap (1 + t) > t area + t other area, so no division and no union.
    shares = np.float32(iou_threshold) * _areas(boxes[order])
    left, kept = np.arange(len(order)), np.zeros(0, np.intp)
    cleared = len(left)
    while len(left) and len(kept) < limit and cleared >= _ROUNDS * _WORTH_A_ROUND:
        best, rest = _greedy_rounds(corners[:, left], shares[left], iou_threshold)
        cleared = len(left) - len(rest)
        kept, left = np.concatenate([kept, left[best]]), left[rest]
    wanted = limit - len(kept)
    # The best few of the rest give the same answer as all of them, where they are enough.
    for part in (left[: _FIRST_LOOK * wanted], left):
        if len(part) and wanted > 0:
            better, worse = _conflicts(corners[:, part], shares[part], iou_threshold)
            best = part[_unsuppressed(len(part), better, worse)]
            if len(best) >= wanted or len(part) == len(left):
                kept = np.concatenate([kept, best])
                break
    return order[kept[:limit]]


def _greedy_rounds(corners: _Array, shares: _Array, iou_threshold: float) -> tuple[_Indices, _Indices]:
    """The first boxes (4, N, best first) that greedy NMS keeps, and those after them that they leave alive."""
    alive, factor = np.ones(len(shares), bool), np.float32(1 + iou_threshold)
    kept: list[int] = []
    first = 0
    while first < len(shares) and len(kept) < _ROUNDS:
        if alive[first]:
            kept.append(first)
            here, rest = slice(first, first + 1), slice(first + 1, None)
            overlap = _overlaps(corners[:, here], corners[:, rest])[0]
            overlap *= factor
            alive[rest] &= overlap <= shares[rest] + shares[here]
        first += 1
    return np.array(kept, np.intp), np.flatnonzero(alive[first:]) + first


def _conflicts(corners: _Array, shares: _Array, iou_threshold: float) -> tuple[_Indices, _Indices]:
    """Which of the boxes (4, N), best first, overlap too much: pairs as (better, worse) indices.

    By their left sides, a block at a time, with those that begin before the block's reach ends: a pair over the
    threshold shares more than that part of each box's width.
    """
    order = np.argsort(corners[0], kind="stable")
    corners, shares = corners[:, order], shares[order]
    x1, x2 = corners[0], corners[2]
    starts = np.arange(0, len(order), _BLOCK)
    reach = np.maximum.reduceat(x2 - np.float32(iou_threshold) * (x2 - x1) + np.float32(0.01), starts)
    pairs = []
    for start, end in zip(starts, np.searchsorted(x1, np.maximum(reach, x1[starts]), "right"), strict=True):
        block, near = slice(start, start + _BLOCK), slice(start, end)
        overlap = _overlaps(corners[:, block], corners[:, near])
        overlap *= np.float32(1 + iou_threshold)
        over = np.flatnonzero(overlap > shares[block, None] + shares[near])
        pairs.append(np.stack(np.divmod(over, end - start)) + start)
    one, other = order[np.concatenate(pairs, axis=1)]
    different = one != other
    return np.minimum(one, other)[different], np.maximum(one, other)[different]


def _unsuppressed(count: int, better: _Indices, worse: _Indices) -> NDArray[np.bool_]:
    """Which of `count` boxes greedy NMS keeps, given all conflicting pairs.

    Every round drops what the last round's survivors suppress; the k best boxes are settled after at most k
    rounds, in practice all after a handful (Cluster-NMS, Zheng 2020).
    """
    keep = np.ones(count, bool)
    while True:
        again = np.ones(count, bool)
        again[worse[keep[better]]] = False
        if np.array_equal(again, keep):
            return keep
        keep = again


def voices(kept: _Array, boxes: _Array, scores: _Array, iou_threshold: float) -> _Array:
    """How loudly each of N boxes speaks for each of K kept ones, (K, N): its score at this IoU, or 0."""
    return np.where(iou_matrix(kept, boxes) >= iou_threshold, scores[None], 0).astype(np.float32)


def vote(kept: _Array, boxes: _Array, heard: _Array) -> _Array:
    """Box voting (Gidaris 2015): each kept box (K, 4) becomes the mean of those it hears, by their `voices`."""
    if len(kept) == 0:
        return kept
    total = heard.sum(1, keepdims=True)
    return np.where(total > 0, heard @ boxes / np.maximum(total, 1e-9), kept).astype(np.float32)


def agreement(best: _Array, heard: _Array, source: _Indices, passes: int) -> _Array:
    """Scores (K,) of kept boxes by what all passes say: a false alarm of one pass alone sinks.

    `best` (K,) are the highest scores, `heard` (K, N) the `voices` of all passes' boxes, `source` (N,) which pass each
    box is from, `passes` how many there are. A pass says of a kept box its loudest voice; the result is the
    geometric mean of `best` and of the mean over the passes.
    """
    said = [heard[:, source == number].max(1, initial=0) for number in range(passes)]
    return np.asarray(np.sqrt(best * np.mean(said, 0)), np.float32)


def _areas(boxes: _Array) -> _Array:
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def _overlaps(first: _Array, second: _Array) -> _Array:
    """Shared areas (N, M) of boxes given by coordinate, (4, N) and (4, M)."""
    width = np.minimum(first[2][:, None], second[2])
    width -= np.maximum(first[0][:, None], second[0])
    height = np.minimum(first[3][:, None], second[3])
    height -= np.maximum(first[1][:, None], second[1])
    np.maximum(width, 0, out=width)
    np.maximum(height, 0, out=height)
    return np.asarray(np.multiply(width, height, out=width), np.float32)


_INSIDE = 0.7
_LOUDER = 0.8


def parts_of_larger(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], large: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(N,): which boxes (N, 4, xyxy) lie for the most part within a `large` (N,) one of over twice their area.

    Those are an eye, a cheek or a mouth of a face that a look at full size sees in fragments, unless their score
    tells that the large one is the mistake.
    """
    areas = _areas(boxes)
    within = (_overlaps(boxes.T, boxes.T) >= _INSIDE * areas[:, None]) & (areas[None] > 2 * areas[:, None])
    within &= large[None] & (scores[None] >= _LOUDER * scores[:, None])
    return np.asarray(within.any(1), bool)
