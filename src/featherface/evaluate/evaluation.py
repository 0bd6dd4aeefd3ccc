"""Everything that is measured on one set of predictions, as lines to print and as values for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from featherface.detections import Detections
from featherface.evaluate.beyond import Beyond, look_beyond, to_dict
from featherface.evaluate.chance import Difference, differences, in_words
from featherface.evaluate.coco import CocoResult, coco_ap
from featherface.evaluate.labelled import SUBSET
from featherface.evaluate.landmarks import LandmarkError, landmark_error
from featherface.evaluate.run import EvaluationSet
from featherface.evaluate.wider import Predictions, WiderResult, match_all, percent, result_of


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The figures of one detector on one set of pictures."""

    pictures: EvaluationSet
    result: WiderResult
    beyond: Beyond
    coco: CocoResult | None
    """On labels of a general format."""
    landmarks: LandmarkError | None
    """On the same, when a model was run: prediction files have no landmarks."""
    against: dict[str, Difference] | None
    """AP less that of other predictions, when there are any."""

    def lines(self) -> list[str]:
        """For people, AP in percent."""
        few = "  ".join(f"{s.title()} {v:.1%}" for s, v in self.beyond.recall_at_few_alarms.items())
        threshold = self.beyond.threshold_at_few_alarms
        return [
            *([_coco_line(self.coco)] if self.coco else []),
            "AP  "
            + "  ".join(f"{s.title()} {percent(c.known_ap, 2)}" for s, c in self.result.curves.items()),
            *(f"    {p.name:12} AP {percent(p.ap, 2):>5}  {p.faces:6,} faces" for p in self.beyond.by_height),
            f"found at one false alarm in ten pictures (score {threshold:.3f}): {few}",
            *([_landmark_line(self.landmarks)] if self.landmarks and self.landmarks.labelled else []),
            *(
                [f"AP less the other's (pictures drawn anew: 95%)  {in_words(self.against)}"]
                if self.against
                else []
            ),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, AP as fractions; None for what has no faces."""
        return {
            "image_set": self.pictures.name,
            "images": self.result.images,
            "faces": self.result.faces,
            "ap": {s: c.ap if c.faces else None for s, c in self.result.curves.items()},
            "coco": _plain(self.coco),
            "landmarks": _plain(self.landmarks),
            "against": {s: dataclasses.asdict(d) for s, d in self.against.items()} if self.against else None,
            **to_dict(self.beyond),
        }


def evaluate_all(
    pictures: EvaluationSet,
    predictions: Predictions,
    detections: Sequence[Detections] | None = None,
    progress: Callable[[], None] = lambda: None,
    other: Predictions | None = None,
) -> Evaluation:
    """Measure predictions; `detections`, one per picture, are what they came from, with landmarks.

    `other` predictions of the same pictures are what they are compared with.
    """
    truths = pictures.truths
    matches = match_all(predictions, truths, progress)
    result = result_of(matches, truths)
    labelled = SUBSET in result.curves
    return Evaluation(
        pictures,
        result,
        look_beyond(predictions, truths),
        coco_ap(predictions, truths, SUBSET) if labelled else None,
        landmark_error(detections, truths, SUBSET) if labelled and detections is not None else None,
        differences(matches, match_all(other, truths), truths) if other is not None else None,
    )


def _coco_line(coco: CocoResult) -> str:
    figures = {"AP": coco.ap, "AP50": coco.ap50, "AP75": coco.ap75}
    figures |= {"small": coco.small, "medium": coco.medium, "large": coco.large}
    words = "  ".join(f"{name} {percent(value, 2)}" for name, value in figures.items())
    return f"COCO  {words}  (at most {coco.max_detections} a picture)"


def _landmark_line(error: LandmarkError) -> str:
    mean, median, far = (percent(v, 2) for v in (error.mean, error.median, error.over_a_tenth))
    return (
        f"landmarks off by {mean}% of the face's size, median {median}%; over 10% on "
        f"{far}% of {error.found:,} faces found ({error.labelled:,} with labelled landmarks)"
    )


def _plain(result: CocoResult | LandmarkError | None) -> dict[str, Any] | None:
    """Values for JSON, which has no NaN."""
    if result is None:
        return None
    return {
        k: None if isinstance(v, float) and isnan(v) else v for k, v in dataclasses.asdict(result).items()
    }
