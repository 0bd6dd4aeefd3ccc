"""Pictures with labels of any format, evaluated as WIDER FACE's are: one subset, `all`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featherface.annotations import Annotation, read_annotations
from featherface.errors import DataError
from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.run import EvaluationSet

SUBSET = "all"


def find_labels(place: Path, split: str = "val") -> tuple[Path, str]:
    """Where the labels of a set's split are, and `wider-face` where that is its official ground truth, else `auto`."""
    official = (place / "ground_truth").is_dir()
    # The ground truth is of the validation pictures; the training pictures come with a label.txt.
    if official and (place / split / "label.txt").is_file():
        return place / split / "label.txt", "auto"
    if not official and _brings_labels(place / split):
        return place / split, "auto"
    wider = official or (not _brings_labels(place) and (place / split / "images").is_dir())
    return place, "wider-face" if wider else "auto"


def _brings_labels(folder: Path) -> bool:
    """As YOLO's `val/{images,labels}` and RetinaFace's `val/label.txt` do."""
    return (folder / "labels").is_dir() or (folder / "label.txt").is_file()


def load_labelled(source: str | Path, format: str = "auto") -> EvaluationSet:
    """The pictures of labels in one of `featherface.annotations.FORMATS`.

    A picture's event is its folder, counted from the folder that all pictures share (`.` for that one). Raises
    DataError for labels that are not what they should be, a picture that is not there, two pictures whose
    names differ in the ending only (their prediction files would be the same), and when no face counts.
    """
    annotations = read_annotations(source, format)
    if not annotations:
        raise DataError(f"{source}: labels no pictures")
    gone = [a.path for a in annotations if not a.path.is_file()]
    if gone:
        more = f", nor are {len(gone) - 1:,} others" if len(gone) > 1 else ""
        raise DataError(f"{source}: {gone[0]} is labelled but not there{more}")
    if all(a.ignored.all() for a in annotations):
        raise DataError(f"{source}: no face that counts in {len(annotations):,} pictures")
    truths = [
        _truth(annotation, event) for annotation, event in zip(annotations, _events(annotations), strict=True)
    ]
    seen: dict[tuple[str, str], Path] = {}
    for truth, annotation in zip(truths, annotations, strict=True):
        other = seen.setdefault((truth.event, truth.name), annotation.path)
        if other is not annotation.path:
            raise DataError(f"{source}: {other} and {annotation.path} are one picture to the evaluation")
    paths = [annotation.path for annotation in annotations]
    return EvaluationSet(truths, paths, str(source), len(paths), frozenset(seen))


def _truth(annotation: Annotation, event: str) -> ImageTruth:
    boxes = annotation.boxes.astype(np.float64)
    return ImageTruth(
        event,
        annotation.path.stem,
        np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1),
        {SUBSET: ~annotation.ignored},
        annotation.landmarks.astype(np.float64),
    )


def _events(annotations: Sequence[Annotation]) -> list[str]:
    folders = [a.path.absolute().parent for a in annotations]
    root = Path(os.path.commonpath(folders))
    return [folder.relative_to(root).as_posix() for folder in folders]
