"""How far the landmarks are off, on faces that were found and whose landmarks are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featherface.detections import LANDMARKS, Detections
from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.run import to_predictions
from featherface.evaluate.wider import match_all

_FAR = 0.1


@dataclass(frozen=True)
class LandmarkError:
    """Normalised mean error: the five points' mean distance over the square root of the labelled box's area.

    The normalisation of RetinaFace (Deng 2020, section 4.4) and AFLW, which also fits faces seen from the side.
    """

    labelled: int
    """Faces that count and whose landmarks are labelled."""
    found: int
    """Of those, the ones some detection meets (IoU 0.5). The figures below are over these; NaN when there are none."""
    mean: float
    median: float
    over_a_tenth: float
    """Share of them whose error is over 10%."""
    by_point: dict[str, float]
    """Mean by landmark; empty when none was found."""


def landmark_error(
    detections: Sequence[Detections], truths: Sequence[ImageTruth], subset: str
) -> LandmarkError:
    """The error over a set; a face's best detection counts. Ground truth without landmarks has none labelled."""
    rows = to_predictions(detections, truths)
    errors, labelled = [np.zeros((0, len(LANDMARKS)))], 0
    for match, found, truth in zip(match_all(rows, truths), detections, truths, strict=True):
        if truth.landmarks is None:
            continue
        known = truth.counted[subset] & np.isfinite(truth.landmarks).all((1, 2))
        labelled += int(known.sum())
        # Detections come best first, in `match` too: the first on a face is its best.
        face, first = np.unique(match.face, return_index=True)
        chosen = (face >= 0) & known[face]
        errors.append(_errors(found.landmarks[first[chosen]], truth, face[chosen]))
    all_errors = np.concatenate(errors)
    per_face = all_errors.mean(1)
    none = len(per_face) == 0
    return LandmarkError(
        labelled=labelled,
        found=len(per_face),
        mean=float("nan") if none else float(per_face.mean()),
        median=float("nan") if none else float(np.median(per_face)),
        over_a_tenth=float("nan") if none else float((per_face > _FAR).mean()),
        by_point={} if none else {name: float(all_errors[:, i].mean()) for i, name in enumerate(LANDMARKS)},
    )


def _errors(points: NDArray[np.float32], truth: ImageTruth, faces: NDArray[np.int64]) -> NDArray[np.float64]:
    """(faces, 5) distances over the square root of the box's area."""
    assert truth.landmarks is not None
    distance = np.linalg.norm(points - truth.landmarks[faces], axis=2)
    size = np.sqrt(truth.boxes[faces, 2:].prod(1))
    result: NDArray[np.float64] = distance / size[:, None]
    return result
