"""WIDER FACE's official ground truth: the four .mat files of the evaluation toolkit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import DataError, MissingExtraError

SUBSETS = ("easy", "medium", "hard")


@dataclass(frozen=True, eq=False)
class ImageTruth:
    """The labelled faces of one picture."""

    event: str
    name: str
    """File name without its ending."""
    boxes: NDArray[np.float64]
    """(N, 4) x, y, w, h."""
    counted: dict[str, NDArray[np.bool_]]
    """Per subset (N,): faces that count; the others are ignored."""
    landmarks: NDArray[np.float64] | None = None
    """(N, 5, 2), NaN where unknown; None when the labels have none."""


def load_ground_truth(folder: str | Path) -> list[ImageTruth]:
    """The 3,226 pictures of `wider_{face,easy,medium,hard}_val.mat`; DataError names a file that is not one."""
    root = Path(folder)
    faces = _read(root / "wider_face_val.mat", ("event_list", "file_list", "face_bbx_list"))
    kept = {s: _read(root / f"wider_{s}_val.mat", ("gt_list",))["gt_list"] for s in SUBSETS}
    truths = []
    try:
        for e, event in enumerate(faces["event_list"]):
            for i, name in enumerate(faces["file_list"][e, 0]):
                boxes = np.asarray(faces["face_bbx_list"][e, 0][i, 0], np.float64).reshape(-1, 4)
                counted = {s: _mask(kept[s][e, 0][i, 0], len(boxes)) for s in SUBSETS}
                truths.append(ImageTruth(str(event[0][0]), str(name[0][0]), boxes, counted))
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{root}: the .mat files are not the official ground truth ({error})") from error
    return truths


def _mask(one_based: NDArray[Any], count: int) -> NDArray[np.bool_]:
    places = np.asarray(one_based, int).ravel()
    if (places < 1).any():
        raise ValueError(f"gt_list counts faces from 1, this one from {places.min()}")
    mask = np.zeros(count, bool)
    mask[places - 1] = True
    return mask


def _read(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError("scipy", "evaluate") from error
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        content: dict[str, Any] = loadmat(str(path))
    except Exception as error:  # scipy has no common class for what it raises on files of another kind
        raise DataError(f"{path}: not a readable .mat file ({error})") from error
    missing = [key for key in keys if key not in content]
    if missing:
        raise DataError(f"{path}: not the official ground truth, {missing[0]} is missing")
    return content
