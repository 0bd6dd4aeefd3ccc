"""YOLO: a text file per picture, a line per face, everything as a fraction of the picture's size.

    DIR/images/<name>.jpg     DIR/labels/<name>.txt     DIR/classes.txt     DIR/train.txt

Which other folders may be read is told in `yolo_layout`.
A line is `class cx cy w h`, and with five keypoints ten numbers more (`x y`, negative where unknown) or
fifteen (`x y visibility`, visibility 0 where unknown), as docs.ultralytics.com/datasets/pose has it.
`classes.txt` names the classes, one a line, or `names` in `data.yaml`: a class called `ignored` is ignored; where
one is called `face` (or `Face`), others are left out. Without either every class is a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from featherface.annotations.files import (
    FACE,
    IGNORED,
    Report,
    class_name,
    numbers,
    one_file_each,
    picture_name,
    read_text,
    stop,
)
from featherface.annotations.sizes import with_sizes
from featherface.annotations.types import Annotation, faces_of
from featherface.annotations.yolo_layout import parts_of
from featherface.atomic import write_text
from featherface.errors import DataError

_COLUMNS = (5, 15, 20)


def read_yolo(source: Path, report: Report = stop) -> list[Annotation]:
    """The pictures of a set, of one of its splits, or of `train:` in a data.yaml (see `yolo_layout`).

    Of a set, those that DIR/train.txt lists, when there is one. A picture without a label file has no faces.
    Each picture is read, because its size turns fractions into pixels.
    """
    found: list[Annotation] = []
    for part in parts_of(source):
        classes = [class_name(name) for name in part.classes]
        for annotation in with_sizes([faces_of(path, []) for path in part.pictures], report):
            try:
                found.append(_annotation(annotation, _found_label(part.root, annotation.path), classes))
            except DataError as error:
                report(error)
    return found


def write_yolo(annotations: Sequence[Annotation], target: Path) -> None:
    """Write labels/, classes.txt, train.txt and data.yaml into a folder; pictures stay where they are.

    Other tools look for `labels/` beside `images/`: write into the folder that holds `images/`. The fifteen
    keypoint numbers are written when any face has landmarks; an ignored face gets the class `ignored`.
    """
    keypoints = any(a.with_landmarks.any() for a in annotations)
    sized = with_sizes(annotations)
    names = [picture_name(annotation.path, target) for annotation in sized]
    places = label_files([annotation.path for annotation in sized], target)
    for place, annotation in zip(places, sized, strict=True):
        write_text(place, "".join(line + "\n" for line in _written_lines(annotation, keypoints)))
    write_text(target / "classes.txt", f"{FACE}\n{IGNORED}\n")
    write_text(target / "train.txt", "".join(name + "\n" for name in names))
    write_text(target / "data.yaml", _data_yaml(keypoints))


def label_files(pictures: Sequence[Path], target: Path) -> list[Path]:
    """Where below `target` the labels of each picture go; DataError when two would share a file."""
    return one_file_each(pictures, lambda picture: _label_file(target, picture))


def _label_file(folder: Path, picture: Path) -> Path:
    """labels/<name>.txt, where <name> is the picture's path after its last folder called `images`."""
    parts = picture.parts
    start = len(parts) - 1 - parts[::-1].index("images") if "images" in parts[:-1] else len(parts) - 2
    return folder / "labels" / PurePosixPath(*parts[start + 1 :]).with_suffix(".txt")


def _found_label(folder: Path, picture: Path) -> Path:
    """The picture's label file: in `folder`, or in the labels/ beside the images/ that a listed picture lies in."""
    place = _label_file(folder, picture)
    if place.is_file() or "images" not in picture.parts[:-1]:
        return place
    last = len(picture.parts) - 1 - picture.parts[::-1].index("images")
    beside = _label_file(Path(*picture.parts[:last]), picture)
    return beside if beside.is_file() else place


def _annotation(bare: Annotation, label: Path, classes: list[str]) -> Annotation:
    assert bare.size is not None
    lines = read_text(label).split("\n") if label.is_file() else []
    rows = [_row(line, f"{label}:{i}", classes) for i, line in enumerate(lines, 1) if line.strip()]
    values = np.array([r for r in rows if r is not None], np.float64).reshape(-1, 15)
    scale = np.array(bare.size, np.float64)
    centres, sides = values[:, 1:3] * scale, values[:, 3:5] * scale
    boxes = np.concatenate([centres - sides / 2, centres + sides / 2], 1)
    landmarks = values[:, 5:].reshape(-1, 5, 2) * scale
    return faces_of(bare.path, boxes, landmarks, values[:, 0], bare.size)


def _row(line: str, where: str, classes: list[str]) -> list[float] | None:
    """Ignored, cx cy w h, ten landmark coordinates (NaN where unknown); None for another class."""
    values = numbers(line, where)
    if len(values) not in _COLUMNS:
        raise DataError(f"{where}: {len(values)} numbers; a face has 5, or 15 or 20 with five keypoints")
    if values[3] < 0 or values[4] < 0:
        raise DataError(f"{where}: a box of negative size")
    kind = int(values[0])
    if classes and not 0 <= kind < len(classes):
        raise DataError(f"{where}: class {kind}; {len(classes)} classes are named")
    name = classes[kind] if classes else FACE
    if name not in (FACE, IGNORED) and FACE in classes:
        return None
    return [float(name == IGNORED), *values[1:5], *_points(values[5:])]


def _points(values: list[float]) -> list[float]:
    if not values:
        return [np.nan] * 10
    points = np.array(values).reshape(5, -1)
    known = np.asarray(points[:, 2] > 0 if points.shape[1] == 3 else (points >= 0).all(1))
    return np.where(known[:, None], points[:, :2], np.nan).ravel().tolist()


def _written_lines(annotation: Annotation, keypoints: bool) -> list[str]:
    assert annotation.size is not None
    scale = np.array(annotation.size, np.float64)
    low, high = annotation.boxes[:, :2] / scale, annotation.boxes[:, 2:] / scale
    boxes = np.concatenate([(low + high) / 2, high - low], 1)
    marks = np.nan_to_num(annotation.landmarks / scale)
    lines = []
    for i, (box, points) in enumerate(zip(boxes, marks, strict=True)):
        visibility = " 2" if annotation.with_landmarks[i] else " 0"
        parts = [str(int(annotation.ignored[i])), *(f"{v:.8f}" for v in box)]
        if keypoints:
            parts += [f"{x:.8f} {y:.8f}{visibility}" for x, y in points]
        lines.append(" ".join(parts))
    return lines


def _data_yaml(keypoints: bool) -> str:
    pose = "kpt_shape: [5, 3]\nflip_idx: [1, 0, 2, 4, 3]\n" if keypoints else ""
    return f"path: .\ntrain: train.txt\n{pose}names:\n  0: {FACE}\n  1: {IGNORED}\n"
