"""Runs an exported file in its runtime on real photos and compares it with torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from featherface.boxes import iou_matrix
from featherface.errors import ModelError
from featherface.export.options import Options, Precision
from featherface.export.portable import DECODED_OUTPUTS, RAW_OUTPUTS
from featherface.export.reference import SEEN, Arrays, Faces, Reference, magnitude
from featherface.model.network import FeatherFace

Run = Callable[[NDArray[np.float32]], Arrays]
"""Images (1, 3, H, W), RGB 0-255, to what the file puts out."""

PHOTO = Path(__file__).with_name("faces.jpg")
"""Public domain: Eileen Collins (NASA) and Grace Hopper (US Navy) at many sizes."""

_STILL_SEEN = 0.8
"""Of the threshold: a face just over it in the one may be just under it in the other."""
_SAME_FACE = 0.5
_LIKELY = 0.1


@dataclass(frozen=True)
class Limits:
    """How far a precision may drift from torch."""

    scores: float | None
    """Largest difference of any prior's score."""
    mean_score: float
    """Mean difference of the scores over 0.1."""
    iou: float
    """A face counts as matched over this IoU."""
    landmarks: float
    """And its landmarks when none is further from torch's than this, in sides of the face."""
    share: float
    """This share of torch's faces must be matched."""
    extra: float
    """At most so many faces that torch does not have, per face that it has."""
    values: float | None
    """Largest difference of any value, of the largest one."""


LIMITS: dict[Precision, Limits] = {
    "fp32": Limits(1e-3, 1e-3, iou=0.95, landmarks=0.01, share=1.0, extra=0.0, values=1e-3),
    "fp16": Limits(0.1, 0.02, iou=0.9, landmarks=0.05, share=0.95, extra=0.05, values=None),
    # Quantization moves single scores far; what it costs is said by AP. These find a file that is broken.
    "int8": Limits(None, 0.2, iou=0.75, landmarks=0.2, share=0.8, extra=0.2, values=None),
}


@dataclass
class Parity:
    """What the comparison found."""

    checked: str
    """Where the file was run, or why it was not."""
    pictures: int = 0
    max_difference: dict[str, float] = field(default_factory=dict)
    """Largest difference of any value, per output; with suppression inside, of any matched face's."""
    mean_score_difference: float = 0.0
    """Over the scores of 0.1 and more."""
    faces: int = 0
    """Torch's faces of score 0.5 and more, after suppression."""
    matched_at_iou_95: int = 0
    """Of those, how many the file has too."""
    matched: int = 0
    """The same at the IoU of this precision's limits."""
    landmarks_matched: int = 0
    """Of those, how many have their landmarks where torch has them."""
    extra_faces: int = 0
    """The file's faces that torch does not have."""


def compare(
    run: Run,
    model: FeatherFace,
    options: Options,
    photos: Sequence[Path],
    where: str,
    needs_faces: bool = True,
) -> Parity:
    """Run the file on the photos; ModelError when it drifts over the limits of its precision.

    Photos on which torch finds no face check next to nothing, so that is a ModelError, too, unless
    `needs_faces` says that the network is not trained.
    """
    reference, limits = Reference(model, options), LIMITS[options.precision]
    parity = Parity(where)
    values, apart = 0.0, _Mean()
    for images in reference.inputs(photos):
        expected, found = reference.run(images), run(images)
        parity.pictures += 1
        if options.with_nms:
            _check_suppressed(found, options, where)
        else:
            values = max(values, _compare_values(parity, found, expected, options, apart))
        _count_faces(parity, reference, images, expected, found, limits, apart)
    parity.mean_score_difference = apart.value
    if needs_faces and not parity.faces:
        raise ModelError(
            f"torch finds no faces of a score over {_asked(options, limits):.2f} on "
            f"{', '.join(str(p) for p in photos)}, so {where} could not be checked; nothing was written: name photos "
            "with faces, take a larger input size, or a lower score threshold"
        )
    _judge(parity, limits, values)
    return parity


class _Mean:
    """Of the differences it is given."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, differences: NDArray[np.float32]) -> None:
        self._sum, self._count = self._sum + float(differences.sum()), self._count + differences.size

    @property
    def value(self) -> float:
        return self._sum / self._count if self._count else 0.0


def _compare_values(parity: Parity, found: Arrays, expected: Arrays, options: Options, apart: _Mean) -> float:
    """Record each output's largest difference; the largest of all, relative to the output's largest value."""
    worst = 0.0
    names = DECODED_OUTPUTS if options.decodes else RAW_OUTPUTS
    for name, ours, theirs in zip(names, found, expected, strict=True):
        if ours.shape != theirs.shape:
            raise ModelError(f"{name} has shape {ours.shape} in {parity.checked}, {theirs.shape} in torch")
        _check_finite(ours, parity.checked)
        difference = float(np.abs(ours - theirs).max())
        parity.max_difference[name] = max(parity.max_difference.get(name, 0.0), difference)
        worst = max(worst, difference / magnitude(theirs))
    likely = np.maximum(found[0], expected[0]) >= _LIKELY
    apart.add(np.abs(found[0] - expected[0])[likely])
    return worst


def _check_suppressed(found: Arrays, options: Options, where: str) -> None:
    """What can be said of suppressed faces by themselves: their shapes, and that they are faces."""
    count = len(found[0])
    for name, values, shape in zip(DECODED_OUTPUTS, found, ((), (4,), (10,)), strict=True):
        if values.shape != (count, *shape):
            raise ModelError(f"{name} has shape {values.shape} in {where}, not {(count, *shape)}")
        _check_finite(values, where)
    scores = found[0]
    if count and not (options.score_threshold <= scores.min() and scores.max() <= 1.001):
        raise ModelError(
            f"{where}: scores of {scores.min():.3g} to {scores.max():.3g}, not of {options.score_threshold} to 1; "
            "nothing was written"
        )
    if (np.diff(scores) > 0).any():
        raise ModelError(f"{where}: its faces are not in order of their scores; nothing was written")


def _check_finite(values: NDArray[np.float32], where: str) -> None:
    if not np.isfinite(values).all():
        raise ModelError(f"{where}: puts out values that are not finite; nothing was written")


def _count_faces(
    parity: Parity,
    reference: Reference,
    images: NDArray[np.float32],
    expected: Arrays,
    found: Arrays,
    limits: Limits,
    apart: _Mean,
) -> None:
    """Add one picture's faces: torch's, those of the file that match them, those that match none."""
    options = reference.options
    threshold, asked = options.score_threshold if options.with_nms else SEEN, _asked(options, limits)
    all_of_torch = reference.faces(expected, images, _STILL_SEEN * threshold)
    wanted = all_of_torch.over(asked)
    there = Faces.of(found) if options.with_nms else reference.faces(found, images, _STILL_SEEN * threshold)
    parity.faces += len(wanted)
    for ours, theirs, overlap in _pairs(there, wanted):
        points = np.linalg.norm(there.landmarks[ours] - wanted.landmarks[theirs], axis=1).max()
        parity.matched_at_iou_95 += overlap > 0.95
        parity.matched += overlap > limits.iou
        parity.landmarks_matched += bool(
            overlap > limits.iou and points <= limits.landmarks * wanted.sides[theirs]
        )
        if options.with_nms:
            for name, one, other in zip(
                DECODED_OUTPUTS,
                (there.scores, there.boxes, there.landmarks),
                (wanted.scores, wanted.boxes, wanted.landmarks),
                strict=True,
            ):
                difference = float(np.abs(one[ours] - other[theirs]).max())
                parity.max_difference[name] = max(parity.max_difference.get(name, 0.0), difference)
            apart.add(np.abs(there.scores[ours : ours + 1] - wanted.scores[theirs]))
    sure = there.over(threshold)
    parity.extra_faces += len(sure) - len(_pairs(sure, all_of_torch))


def _asked(options: Options, limits: Limits) -> float:
    """The least score of a face that the file must have.

    It drops what is under its threshold, so a face that is by rounding must not be asked for.
    """
    return options.score_threshold + (limits.scores or _LIKELY) if options.with_nms else SEEN


def _pairs(ours: Faces, theirs: Faces) -> list[tuple[int, int, float]]:
    """Which face of the one is which of the other, each at most once: index, index and IoU, best first."""
    overlap = iou_matrix(ours.boxes, theirs.boxes)
    first, second = np.nonzero(overlap > _SAME_FACE)
    pairs: list[tuple[int, int, float]] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for at in np.argsort(-overlap[first, second], kind="stable"):
        one, other = int(first[at]), int(second[at])
        if one not in taken[0] and other not in taken[1]:
            taken[0].add(one)
            taken[1].add(other)
            pairs.append((one, other, float(overlap[one, other])))
    return pairs


def _judge(parity: Parity, limits: Limits, values: float) -> None:
    """ModelError that says how the file drifts."""

    def refuse(how: str) -> ModelError:
        return ModelError(f"{parity.checked}: {how}; nothing was written")

    difference = parity.max_difference.get("scores", 0.0)
    if limits.scores is not None and difference > limits.scores:
        raise refuse(f"scores differ from torch by {difference:.2e}")
    if parity.mean_score_difference > limits.mean_score:
        raise refuse(f"scores differ from torch by {parity.mean_score_difference:.2e} on average")
    least = limits.share * parity.faces
    if parity.matched < least:
        raise refuse(
            f"only {parity.matched} of torch's {parity.faces} faces are where torch has them (IoU over {limits.iou})"
        )
    if parity.landmarks_matched < least:
        raise refuse(
            f"only {parity.landmarks_matched} of torch's {parity.faces} faces have their landmarks where torch has "
            f"them (within {limits.landmarks:.0%} of the face)"
        )
    if parity.extra_faces > limits.extra * parity.faces:
        raise refuse(f"finds {parity.extra_faces} faces that torch does not, which has {parity.faces}")
    if limits.values is not None and values > limits.values:
        raise refuse(f"values differ from torch by {values:.2e} of the largest")
