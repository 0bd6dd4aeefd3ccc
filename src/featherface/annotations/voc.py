"""Pascal VOC XML (Everingham 2010): a file per picture; `difficult` marks a face as ignored.

Coordinates are taken and written as they stand, in pixels from 0, as today's tools do (the original sets
count from 1). Five landmarks go into an element of ours, `<landmarks>x1 y1 ... x5 y5</landmarks>` in the
object, which other readers skip. Where an object is called `face` (or `Face`) anywhere in the folder, objects of other
names are left out; otherwise every object is a face.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from featherface.annotations.files import (
    FACE,
    Report,
    class_name,
    decimal,
    numbers,
    one_file_each,
    picture_folder,
    picture_name,
    read_text,
    stop,
)
from featherface.annotations.sizes import with_sizes
from featherface.annotations.types import Annotation, faces_of
from featherface.annotations.voc_layout import files_of
from featherface.atomic import write_text
from featherface.errors import DataError

_FOLDER = "Annotations"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(source: Path, report: Report = stop) -> list[Annotation]:
    """The pictures of one XML file, of all in DIR/Annotations or DIR, or of those that a list of names holds.

    They lie in `images/` or `JPEGImages/` beside the folder of XML files, in `images/` in it, or among them.
    """
    files = files_of(source)
    trees: list[tuple[Path, ET.Element]] = []
    for path in files.paths:
        try:
            trees.append((path, _tree(path)))
        except DataError as error:
            report(error)
    only_faces = any(_is_face(item) for _, tree in trees for item in tree.iterfind("object"))
    found: list[Annotation] = []
    for path, tree in trees:
        try:
            found.append(_annotation(path, tree, files.pictures_of(path), only_faces))
        except DataError as error:
            report(error)
    return found


def write_voc(annotations: Sequence[Annotation], target: Path) -> None:
    """Write DIR/Annotations/<picture>.xml for every picture; pictures stay where they are."""
    sized = with_sizes(annotations)
    pictures = _pictures_of(target)
    places = label_files([annotation.path for annotation in sized], target)
    for place, annotation in zip(places, sized, strict=True):
        tree = _written_tree(annotation, Path(picture_name(annotation.path, pictures)))
        ET.indent(tree)
        write_text(place, ET.tostring(tree, encoding="unicode") + "\n")


def label_files(pictures: Sequence[Path], target: Path) -> list[Path]:
    """Where below `target` the labels of each picture go; DataError when two would share a file."""
    folder = _pictures_of(target)

    def place_of(picture: Path) -> Path:
        name = Path(picture_name(picture, folder))
        return (target / _FOLDER / (name.name if name.is_absolute() else name)).with_suffix(".xml")

    return one_file_each(pictures, place_of)


def _pictures_of(target: Path) -> Path:
    return picture_folder(target / _FOLDER / "any.xml")


def _tree(path: Path) -> ET.Element:
    try:
        tree = ET.fromstring(read_text(path))
    except ET.ParseError as error:
        raise DataError(f"{path}:{error.position[0]}: not XML ({error})") from error
    if tree.tag != "annotation" or not tree.findtext("filename"):
        raise DataError(f"{path}: not a Pascal VOC annotation with a filename")
    return tree


def _annotation(path: Path, tree: ET.Element, folder: Path, only_faces: bool) -> Annotation:
    objects = [o for o in tree.iterfind("object") if not only_faces or _is_face(o)]
    boxes = [_box(path, item) for item in objects]
    landmarks = [_landmarks(path, item) for item in objects]
    ignored = [item.findtext("difficult", "0").strip() == "1" for item in objects]
    name = tree.findtext("filename", "").strip()
    return faces_of(
        folder / name,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(landmarks, np.float32).reshape(-1, 5, 2),
        ignored,
        _size(path, tree),
    )


def _is_face(item: ET.Element) -> bool:
    return class_name(item.findtext("name", "")) == FACE


def _box(path: Path, item: ET.Element) -> list[float]:
    text = " ".join(item.findtext(f"bndbox/{corner}", "missing") for corner in _CORNERS)
    box = numbers(text, f"{path}: bndbox {text}")
    if box[2] < box[0] or box[3] < box[1]:
        raise DataError(f"{path}: bndbox {text}: it ends before it begins")
    return box


def _landmarks(path: Path, item: ET.Element) -> list[float]:
    text = item.findtext("landmarks")
    if text is None:
        return [np.nan] * 10
    points = numbers(text, f"{path}: landmarks")
    if len(points) != 10:
        raise DataError(f"{path}: landmarks: {len(points)} numbers; five points are 10")
    return points


def _size(path: Path, tree: ET.Element) -> tuple[int, int] | None:
    """Width and height; None where they are missing or 0, as some tools leave them."""
    values = numbers(
        f"{tree.findtext('size/width', '0')} {tree.findtext('size/height', '0')}", f"{path}: size"
    )
    if len(values) != 2 or min(values) < 1:
        return None
    return int(values[0]), int(values[1])


def _written_tree(annotation: Annotation, name: Path) -> ET.Element:
    assert annotation.size is not None
    tree = ET.Element("annotation")
    # Beside a mirrored tree of XML files the bare file name is what other tools expect.
    _add(tree, "filename", str(name) if name.is_absolute() else name.name)
    size = ET.SubElement(tree, "size")
    for tag, value in zip(("width", "height", "depth"), (*annotation.size, 3), strict=True):
        _add(size, tag, str(value))
    for box, points, ignored, known in zip(
        annotation.boxes, annotation.landmarks, annotation.ignored, annotation.with_landmarks, strict=True
    ):
        item = ET.SubElement(tree, "object")
        _add(item, "name", FACE)
        _add(item, "difficult", str(int(ignored)))
        corners = ET.SubElement(item, "bndbox")
        for tag, value in zip(_CORNERS, box, strict=True):
            _add(corners, tag, decimal(float(value)))
        if known:
            _add(item, "landmarks", " ".join(decimal(float(v)) for v in points.ravel()))
    return tree


def _add(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text
