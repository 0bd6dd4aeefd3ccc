"""COCO's average precision (Lin 2014), as pycocotools computes it, on the same pictures and predictions."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import MissingExtraError
from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.wider import Predictions

MAX_DETECTIONS = 750
"""Per picture. COCO's own 100 would count the faces of a crowd as missed."""

_AREAS = ("all", "small", "medium", "large")
"""In the order of pycocotools."""


@dataclass(frozen=True)
class CocoResult:
    """AP as fractions; NaN where no face counts."""

    ap: float
    """Mean over IoU 0.50, 0.55, ..., 0.95."""
    ap50: float
    ap75: float
    small: float
    """Mean over the IoUs, of faces under 32 x 32 pixels."""
    medium: float
    """Up to 96 x 96."""
    large: float
    max_detections: int = MAX_DETECTIONS


def coco_ap(predictions: Predictions, truths: Sequence[ImageTruth], subset: str) -> CocoResult:
    """COCO's figures when the faces of `subset` count. The others are `iscrowd`: detections in them are ignored."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MissingExtraError("pycocotools", "evaluate") from error
    rows = [np.asarray(predictions.get((t.event, t.name), np.zeros((0, 5))), np.float64) for t in truths]
    # pycocotools prints its progress; standard output is ours.
    with contextlib.redirect_stdout(io.StringIO()):
        labels = _index(COCO(), len(truths), _faces(truths, subset))
        found = _index(COCO(), len(truths), _detections(rows))
        evaluation = COCOeval(labels, found, "bbox")
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision: NDArray[np.float64] = evaluation.eval["precision"][:, :, 0, :, 0]  # (IoU, recall, area)
    by_area = {name: precision[:, :, i] for i, name in enumerate(_AREAS)}
    return CocoResult(
        ap=_mean(by_area["all"]),
        ap50=_mean(by_area["all"][0]),
        ap75=_mean(by_area["all"][5]),
        small=_mean(by_area["small"]),
        medium=_mean(by_area["medium"]),
        large=_mean(by_area["large"]),
    )


def _index(coco: Any, images: int, annotations: list[dict[str, Any]]) -> Any:
    coco.dataset = {
        "images": [{"id": i} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "face"}],
    }
    coco.createIndex()
    return coco


def _faces(truths: Sequence[ImageTruth], subset: str) -> list[dict[str, Any]]:
    return [
        {**_box(number, picture, box), "iscrowd": int(not counts)}
        for number, (picture, box, counts) in enumerate(
            (
                (i, box, counts)
                for i, truth in enumerate(truths)
                for box, counts in zip(truth.boxes, truth.counted[subset], strict=True)
            ),
            1,
        )
    ]


def _detections(rows: Sequence[NDArray[np.float64]]) -> list[dict[str, Any]]:
    return [
        {**_box(number, picture, row[:4]), "iscrowd": 0, "score": float(row[4])}
        for number, (picture, row) in enumerate(
            ((i, row) for i, found in enumerate(rows) for row in found), 1
        )
    ]


def _box(number: int, picture: int, box: NDArray[np.float64]) -> dict[str, Any]:
    bbox = [float(v) for v in box]
    return {"id": number, "image_id": picture, "category_id": 1, "bbox": bbox, "area": bbox[2] * bbox[3]}


def _mean(precision: NDArray[np.float64]) -> float:
    """pycocotools marks with -1 what has no faces."""
    known = precision[precision > -1]
    return float(known.mean()) if len(known) else float("nan")
