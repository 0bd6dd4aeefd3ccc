"""How far a difference in AP may be chance: the paired bootstrap over pictures.

The set's pictures are drawn anew many times, with replacement, the same ones for both detectors; the interval is that
of the middle 95% of the differences (Efron and Tibshirani 1993, section 13.3). Faces of one picture stay together,
because a crowd is missed or found as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.wider import (
    THRESHOLDS,
    Matches,
    average_precision,
    count_above,
    counted_scores,
    is_official,
    precision_and_recall,
)

DRAWS = 1000
_BLOCK = 100
_TAILS = (2.5, 97.5)

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """AP of one detector less another's, in fractions."""

    value: float
    low: float
    """The interval's ends."""
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} ({100 * self.low:+.1f} to {100 * self.high:+.1f})"


def differences(
    one: Sequence[Matches], other: Sequence[Matches], truths: Sequence[ImageTruth], draws: int = DRAWS
) -> dict[str, Difference]:
    """AP of `one` less that of `other` by subset, each with its interval; subsets without faces are left out.

    Both are of the same pictures in the order of `truths`. Scores are normalised once, over the whole set.
    """
    official = is_official(truths)
    chosen = np.random.default_rng(0).multinomial(len(truths), np.full(len(truths), 1 / len(truths)), draws)
    found = {}
    for subset in truths[0].counted:
        masks = [truth.counted[subset] for truth in truths]
        faces = np.array([mask.sum() for mask in masks])
        if faces.any():
            tallies = [_tally(matches, masks, official) for matches in (one, other)]
            value, drawn = (
                _ap(*tallies[0], faces, times) - _ap(*tallies[1], faces, times)
                for times in (np.ones((1, len(truths))), chosen.astype(float))
            )
            found[subset] = Difference(float(value[0]), *(float(v) for v in np.percentile(drawn, _TAILS)))
    return found


def in_words(found: Mapping[str, Difference]) -> str:
    """One line, in points of AP."""
    return "  ".join(f"{subset.title()} {difference}" for subset, difference in found.items())


def _tally(
    matches: Sequence[Matches], masks: Sequence[NDArray[np.bool_]], official: bool
) -> tuple[_Floats, _Floats]:
    """Detections that count and faces found, by picture and threshold: (N, THRESHOLDS) each."""
    proposals, hits = (np.zeros((len(matches), THRESHOLDS)) for _ in range(2))
    for i, (match, mask) in enumerate(zip(matches, masks, strict=True)):
        proposed, right = counted_scores(match, mask, official)
        proposals[i], hits[i] = count_above(proposed), count_above(right)
    return proposals, hits


def _ap(proposals: _Floats, hits: _Floats, faces: NDArray[np.int64], times: _Floats) -> _Floats:
    """AP (D,) where picture n is there times[d, n] times."""
    found = []
    for part in np.array_split(times, max(1, len(times) // _BLOCK)):
        precision, recall = precision_and_recall(part @ proposals, part @ hits, (part @ faces)[:, None])
        found += [average_precision(p, r) for p, r in zip(precision, recall, strict=True)]
    return np.array(found)
