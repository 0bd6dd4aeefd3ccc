"""Average precision as WIDER FACE's official toolkit computes it, to the letter.

Scores are normalised over the whole set; 1,000 thresholds; IoU of at least 0.5 with the toolkit's convention
that a box of width w covers w + 1 pixels; the first detection on a face finds it, later ones are proposals that
find nothing; detections on ignored faces do not count; AP is the area under the interpolated curve. A picture
without any face is left out of the toolkit's AP, false alarms and all; on labels of your own it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.evaluate.ground_truth import SUBSETS, ImageTruth

THRESHOLDS = 1000
_MATCH_IOU = 0.5

Predictions = Mapping[tuple[str, str], NDArray[np.floating]]
"""Per (event, name): (N, 5) x, y, w, h, score."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """One subset's precision-recall curve over the thresholds, and what it covers."""

    faces: int
    precision: _Floats
    recall: _Floats
    ap: float
    """0 where no face counts, so that means over subsets stay numbers."""

    @property
    def known_ap(self) -> float:
        """AP, NaN where no face counts."""
        return self.ap if self.faces else float("nan")


@dataclass(frozen=True, eq=False)
class WiderResult:
    """AP by subset, over the pictures that were evaluated."""

    images: int
    curves: dict[str, Curve]

    @property
    def ap(self) -> dict[str, float]:
        """AP as fractions, by subset."""
        return {subset: curve.ap for subset, curve in self.curves.items()}

    @property
    def faces(self) -> dict[str, int]:
        """Counted faces, by subset."""
        return {subset: curve.faces for subset, curve in self.curves.items()}


@dataclass(frozen=True, eq=False)
class Matches:
    """How one picture's detections, best first, meet its faces. Independent of which faces count."""

    scores: _Floats
    """(N,) normalised."""
    face: NDArray[np.int64]
    """(N,) the face each detection overlaps most, or -1 under the IoU threshold."""
    first: NDArray[np.bool_]
    """(N,) whether no better detection is on the same face; never on -1."""


def evaluate(
    predictions: Predictions, truths: Sequence[ImageTruth], progress: Callable[[], None] = lambda: None
) -> WiderResult:
    """AP of predictions for these pictures; one without predictions counts as no detections."""
    return result_of(match_all(predictions, truths, progress), truths)


def result_of(matches: Sequence[Matches], truths: Sequence[ImageTruth]) -> WiderResult:
    """AP of detections that have met their faces."""
    subsets = truths[0].counted if truths else SUBSETS
    official = is_official(truths)
    curves = {s: curve(matches, [t.counted[s] for t in truths], official) for s in subsets}
    return WiderResult(len(truths), curves)


def is_official(truths: Sequence[ImageTruth]) -> bool:
    """Whether the ground truth has the toolkit's subsets, and so follows its rules."""
    return not truths or tuple(truths[0].counted) == SUBSETS


def match_all(
    predictions: Predictions, truths: Sequence[ImageTruth], progress: Callable[[], None] = lambda: None
) -> list[Matches]:
    """Each picture's detections with normalised scores, best first, and the face each one meets."""
    low, high = _score_range(predictions)
    found = []
    for truth in truths:
        rows = np.asarray(predictions.get((truth.event, truth.name), np.zeros((0, 5))), np.float64)
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        scores = (rows[:, 4] - low) / (high - low) if high > low else np.ones(len(rows))
        face = _best_face(rows[:, :4], truth.boxes)
        found.append(Matches(scores, face, first_on_face(face)))
        progress()
    return found


def curve(matches: Sequence[Matches], counted: Sequence[NDArray[np.bool_]], official: bool = True) -> Curve:
    """The precision-recall curve when, in each picture, these faces count and the others are ignored.

    `official` leaves out pictures without any face, as the toolkit does: their false alarms do not count.
    """
    proposed, right = [np.zeros(0)], [np.zeros(0)]
    for match, mask in zip(matches, counted, strict=True):
        scores, hitting = counted_scores(match, mask, official)
        proposed.append(scores)
        right.append(hitting)
    faces = sum(int(mask.sum()) for mask in counted)
    proposals, hits = count_above(np.concatenate(proposed)), count_above(np.concatenate(right))
    precision, recall = precision_and_recall(proposals, hits, faces)
    return Curve(faces, precision, recall, average_precision(precision, recall))


def counted_scores(match: Matches, mask: NDArray[np.bool_], official: bool) -> tuple[_Floats, _Floats]:
    """Scores of one picture's detections that count when these faces do, and of those that find a face.

    None of either for a picture without any face where the toolkit's rules hold; see `curve`.
    """
    if official and not len(mask):
        return np.zeros(0), np.zeros(0)
    counts = np.append(mask, True)[match.face]  # -1, on no face, is the last: it counts
    return match.scores[counts], match.scores[counts & match.first]


def precision_and_recall(proposals: NDArray[Any], hits: NDArray[Any], faces: Any) -> tuple[_Floats, _Floats]:
    """Of detections that count and faces found at each threshold, (..., THRESHOLDS); 0 where nothing is counted."""
    precision = np.divide(hits, proposals, out=np.zeros(hits.shape), where=proposals > 0)
    return precision, hits / np.maximum(faces, 1)


def average_precision(precision: _Floats, recall: _Floats) -> float:
    """Area under the curve after each precision is raised to the best at any higher recall (VOC 2010)."""
    r = np.concatenate([[0.0], recall, [1.0]])
    p = np.concatenate([[0.0], precision, [0.0]])
    p = np.maximum.accumulate(p[::-1])[::-1]
    steps = np.flatnonzero(r[1:] != r[:-1])
    return float(np.sum((r[steps + 1] - r[steps]) * p[steps + 1]))


def first_on_face(face: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of detections, best first, on these faces (-1: on none), which are the first on theirs."""
    first = np.zeros(len(face), bool)
    first[np.unique(face, return_index=True)[1]] = True
    return first & (face >= 0)


def count_above(scores: _Floats) -> NDArray[np.int64]:
    """How many scores are at least each threshold 0.999, 0.998, ..., 0."""
    thresholds = 1 - (np.arange(THRESHOLDS) + 1) / THRESHOLDS
    return np.searchsorted(np.sort(-scores), -thresholds, side="right")


def _best_face(boxes: _Floats, faces: _Floats) -> NDArray[np.int64]:
    if len(boxes) == 0 or len(faces) == 0:
        return np.full(len(boxes), -1)
    iou = iou_plus_one(boxes, faces)
    best = iou.argmax(1)
    return np.where(iou[np.arange(len(boxes)), best] >= _MATCH_IOU, best, -1)


def iou_plus_one(first: _Floats, second: _Floats) -> _Floats:
    """IoU of x, y, w, h boxes (N, 4), (M, 4) where a box of width w covers w + 1 pixels: (N, M)."""
    (ax, ay, aw, ah), (bx, by, bw, bh) = first.T[:, :, None], second.T[:, None]
    wide = np.minimum(ax + aw, bx + bw) - np.maximum(ax, bx) + 1
    high = np.minimum(ay + ah, by + bh) - np.maximum(ay, by) + 1
    overlap = np.maximum(wide, 0) * np.maximum(high, 0)
    areas = (first[:, 2:] + 1).prod(-1)[:, None] + (second[:, 2:] + 1).prod(-1)[None]
    result: _Floats = overlap / (areas - overlap)
    return result


def _score_range(predictions: Predictions) -> tuple[float, float]:
    """Lowest and highest score of the whole set, of whatever scale; infinite without any detection."""
    low, high = np.inf, -np.inf
    for rows in predictions.values():
        if len(rows):
            low, high = min(low, float(rows[:, 4].min())), max(high, float(rows[:, 4].max()))
    return low, high


def percent(value: float, digits: int = 1) -> str:
    """A fraction in percent; a dash where it is unknown."""
    return "-" if np.isnan(value) else f"{100 * value:.{digits}f}"
