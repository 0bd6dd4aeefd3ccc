"""WIDER FACE's official ground truth: the four .mat files of the evaluation toolkit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import DataError, MissingExtraError

SUBSETS = ("easy", "medium", "hard")
OFFICIAL_PICTURES, OFFICIAL_FACES = 3226, (7211, 13319, 31958)
"""What WIDER FACE's validation set counts, faces by subset."""
_LEAST_SIDE = -2
"""One official face (39_Ice_Skating_iceskiing_39_583) is -2 wide, and counts."""


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
    """The pictures of `wider_{face,easy,medium,hard}_val.mat`.

    DataError names the file that does not have the toolkit's form: cells of another shape, a picture twice, boxes
    that are not finite or of negative size, numbers of faces there are not, a subset that does not hold the one
    before.
    """
    root = Path(folder)
    path = root / "wider_face_val.mat"
    faces = _read(path, ("event_list", "file_list", "face_bbx_list"))
    pictures: dict[tuple[str, str], NDArray[np.float64]] = {}
    places = []
    with _naming(path):
        for e, event in enumerate(faces["event_list"]):
            for i, name in enumerate(faces["file_list"][e, 0]):
                key = str(event[0][0]), str(name[0][0])
                if key in pictures:
                    raise ValueError(f"{'/'.join(key)} is there twice")
                pictures[key] = _boxes(faces["face_bbx_list"][e, 0][i, 0], "/".join(key))
                places.append((e, i))
    counted = _subsets(root, list(pictures.items()), places)
    return [
        ImageTruth(*key, boxes, masks) for (key, boxes), masks in zip(pictures.items(), counted, strict=True)
    ]


def is_wider_val(truths: Sequence[ImageTruth]) -> bool:
    """Whether pictures and faces are as many as WIDER FACE's validation set has."""
    faces = tuple(sum(int(t.counted[s].sum()) for t in truths) for s in SUBSETS)
    return len(truths) == OFFICIAL_PICTURES and faces == OFFICIAL_FACES


def _subsets(
    root: Path,
    pictures: Sequence[tuple[tuple[str, str], NDArray[np.float64]]],
    places: Sequence[tuple[int, int]],
) -> list[dict[str, NDArray[np.bool_]]]:
    """The faces of each picture that count, by subset."""
    counted: list[dict[str, NDArray[np.bool_]]] = [{} for _ in pictures]
    for before, subset in zip((None, *SUBSETS), SUBSETS, strict=False):
        path = root / f"wider_{subset}_val.mat"
        kept = _read(path, ("gt_list",))["gt_list"]
        with _naming(path):
            for (key, boxes), (e, i), masks in zip(pictures, places, counted, strict=True):
                where = "/".join(key)
                mask = masks[subset] = _mask(kept[e, 0][i, 0], len(boxes), where)
                if before is not None and (masks[before] & ~mask).any():
                    raise ValueError(f"{where}: a face of {before} is missing in {subset}")
    return counted


def _boxes(values: Any, where: str) -> NDArray[np.float64]:
    boxes = np.asarray(values, np.float64)
    if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise ValueError(f"{where}: boxes of shape {boxes.shape}, not four numbers a face")
    if not np.isfinite(boxes).all():
        raise ValueError(f"{where}: a box is not finite")
    if (boxes[:, 2:] < _LEAST_SIDE).any():
        raise ValueError(f"{where}: a box is of negative size")
    return boxes.reshape(-1, 4)


def _mask(one_based: Any, count: int, where: str) -> NDArray[np.bool_]:
    given = np.asarray(one_based, np.float64).ravel()
    if not (given == np.floor(given)).all():  # NaN is not itself either
        raise ValueError(
            f"{where}: gt_list holds numbers of faces, not {given[given != np.floor(given)][0]:g}"
        )
    wrong = given[(given < 1) | (given > count)]
    if len(wrong):
        raise ValueError(f"{where}: gt_list counts its faces from 1 to {count}, not {wrong[0]:g}")
    mask = np.zeros(count, bool)
    mask[given.astype(int) - 1] = True
    return mask


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say which file holds what the toolkit's files do not."""
    try:
        yield
    except (IndexError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not the official ground truth ({error})") from error


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
