"""What AP does not tell: by face height and event, recall at few false alarms, calibration, where it fails."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.wider import Matches, Predictions, curve, is_official, match_all

HEIGHTS = ((0, 16), (16, 32), (32, 96), (96, np.inf))
"""Classes of face height, in pixels of the original picture."""

FALSE_ALARMS_PER_IMAGE = 0.1
_BINS = 10


@dataclass(frozen=True)
class Part:
    """AP on some of the faces."""

    name: str
    faces: int
    ap: float
    """NaN where no face counts."""


@dataclass(frozen=True)
class Bin:
    """How often detections of these scores were right."""

    low: float
    high: float
    """Up to here; normalised when scores of the set lie outside 0 to 1."""
    detections: int
    mean_score: float
    precision: float


@dataclass(frozen=True)
class Failure:
    """A face that was missed, or a detection where no face is; `box` is x, y, w, h."""

    picture: int
    """Place in the list of pictures."""
    box: tuple[float, float, float, float]
    score: float
    """Of a false alarm; 0 for a miss."""


def widest(truth: ImageTruth) -> NDArray[np.bool_]:
    """(N,) the faces of the subset that holds the others, the last: `hard`, or all that are not ignored."""
    return list(truth.counted.values())[-1]


@dataclass(frozen=True, eq=False)
class Beyond:
    """All of it, for one set of predictions."""

    by_height: list[Part]
    by_event: list[Part]
    recall_at_few_alarms: dict[str, float]
    threshold_at_few_alarms: float
    """The score from which on there is at most one false alarm in ten pictures."""
    calibration: list[Bin]
    misses: list[Failure]
    alarms: list[Failure]


def look_beyond(predictions: Predictions, truths: Sequence[ImageTruth], worst: int = 50) -> Beyond:
    """Everything above. Parts count the faces of the last subset, which holds the others.

    Detections in pictures without faces are false alarms everywhere, but for AP where the toolkit leaves them out.
    """
    matches = match_all(predictions, truths)
    raw = [_sorted_rows(predictions, truth) for truth in truths]
    recall, threshold = _few_alarms(matches, truths, raw)
    return Beyond(
        by_height=_by_height(matches, truths),
        by_event=_by_event(matches, truths),
        recall_at_few_alarms=recall,
        threshold_at_few_alarms=threshold,
        calibration=_calibration(matches, truths, raw),
        misses=_misses(matches, truths, raw, threshold)[:worst],
        alarms=_alarms(matches, raw, worst),
    )


def to_dict(beyond: Beyond) -> dict[str, object]:
    """The figures (not the failures) as plain values for JSON; None for the AP of no faces."""
    return {
        "by_height": _plain(beyond.by_height),
        "by_event": _plain(beyond.by_event),
        "recall_at_one_false_alarm_in_ten_images": {
            "threshold": beyond.threshold_at_few_alarms,
            **beyond.recall_at_few_alarms,
        },
        "calibration": [vars(b) for b in beyond.calibration],
    }


def _plain(parts: Sequence[Part]) -> dict[str, dict[str, float | None]]:
    return {p.name: {"faces": p.faces, "ap": p.ap if p.faces else None} for p in parts}


def _sorted_rows(predictions: Predictions, truth: ImageTruth) -> NDArray[np.float64]:
    rows = np.asarray(predictions.get((truth.event, truth.name), np.zeros((0, 5))), np.float64)
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def _by_height(matches: Sequence[Matches], truths: Sequence[ImageTruth]) -> list[Part]:
    parts = []
    for low, high in HEIGHTS:
        masks = [widest(t) & (t.boxes[:, 3] >= low) & (t.boxes[:, 3] < high) for t in truths]
        found = curve(matches, masks, is_official(truths))
        name = f"{low} to {high} px" if np.isfinite(high) else f"over {low} px"
        parts.append(Part(name, found.faces, found.known_ap))
    return parts


def _by_event(matches: Sequence[Matches], truths: Sequence[ImageTruth]) -> list[Part]:
    places = defaultdict(list)
    for i, truth in enumerate(truths):
        places[truth.event].append(i)
    parts = []
    for event, chosen in places.items():
        masks = [widest(truths[i]) for i in chosen]
        found = curve([matches[i] for i in chosen], masks, is_official(truths))
        parts.append(Part(event, found.faces, found.known_ap))
    return sorted(parts, key=lambda part: (part.faces == 0, part.ap))


def _few_alarms(
    matches: Sequence[Matches], truths: Sequence[ImageTruth], raw: Sequence[NDArray[np.float64]]
) -> tuple[dict[str, float], float]:
    """Recall by subset where false alarms reach one in ten pictures, and that score."""
    pairs = list(zip(raw, matches, strict=True))
    alarms = np.sort(np.concatenate([np.zeros(0), *(rows[m.face < 0, 4] for rows, m in pairs)]))[::-1]
    allowed = int(len(truths) * FALSE_ALARMS_PER_IMAGE)
    lowest = min((float(rows[:, 4].min()) for rows in raw if len(rows)), default=0.0)
    # Where all alarms together are few enough, every detection is taken.
    everything = 0.0 if lowest >= 0 else float(np.nextafter(lowest, -np.inf))
    threshold = float(alarms[allowed]) if allowed < len(alarms) else everything
    recall = {}
    for subset in truths[0].counted if truths else ():
        found = faces = 0
        for (rows, m), truth in zip(pairs, truths, strict=True):
            above = np.unique(m.face[(rows[:, 4] > threshold) & (m.face >= 0)])
            found += int(truth.counted[subset][above].sum())
            faces += int(truth.counted[subset].sum())
        recall[subset] = found / max(faces, 1)
    return recall, threshold


def _calibration(
    matches: Sequence[Matches], truths: Sequence[ImageTruth], raw: Sequence[NDArray[np.float64]]
) -> list[Bin]:
    """Precision by score. Detections on ignored faces are left out, as in AP.

    Scores that are no shares (some lie outside 0 to 1) are first normalised over the set, as for AP.
    """
    shares = all(((rows[:, 4] >= 0) & (rows[:, 4] <= 1)).all() for rows in raw)
    scores, right = [np.zeros(0)], [np.zeros(0, bool)]
    for rows, match, truth in zip(raw, matches, truths, strict=True):
        on = match.face >= 0
        counts = ~on
        counts[on] = widest(truth)[match.face[on]]
        scores.append((rows[:, 4] if shares else match.scores)[counts])
        right.append(on[counts])
    score, good = np.concatenate(scores), np.concatenate(right)
    place = np.clip((score * _BINS).astype(int), 0, _BINS - 1)
    return [
        Bin(
            i / _BINS,
            (i + 1) / _BINS,
            int(n),
            float(score[place == i].mean()),
            float(good[place == i].mean()),
        )
        for i in range(_BINS)
        if (n := int((place == i).sum()))
    ]


def _misses(
    matches: Sequence[Matches],
    truths: Sequence[ImageTruth],
    raw: Sequence[NDArray[np.float64]],
    threshold: float,
) -> list[Failure]:
    """Counted faces that no detection above the threshold meets, tallest first."""
    missed = []
    for i, (rows, match, truth) in enumerate(zip(raw, matches, truths, strict=True)):
        lost = widest(truth).copy()
        lost[match.face[(rows[:, 4] > threshold) & (match.face >= 0)]] = False
        missed += [Failure(i, _box(truth.boxes[k]), 0.0) for k in np.flatnonzero(lost)]
    return sorted(missed, key=lambda failure: -failure.box[3])


def _alarms(
    matches: Sequence[Matches],
    raw: Sequence[NDArray[np.float64]],
    worst: int,
) -> list[Failure]:
    """Detections that meet no labelled face, surest first. Some of them are faces that nobody labelled."""
    alarms = [
        (-float(rows[k, 4]), i, int(k))
        for i, (rows, match) in enumerate(zip(raw, matches, strict=True))
        for k in np.flatnonzero(match.face < 0)[:worst]
    ]
    return [Failure(i, _box(raw[i][k]), -score) for score, i, k in sorted(alarms)[:worst]]


def _box(row: NDArray[np.float64]) -> tuple[float, float, float, float]:
    x, y, w, h = (float(v) for v in row[:4])
    return x, y, w, h
