"""COCO JSON (Lin 2014, cocodataset.org/#format-data) with the category `face` and five keypoints.

`iscrowd` marks a face as ignored. Where a category is called `face`, the others are left out; where none
is, every object is a face. The category's `keypoints` say in which order the five come; where it names none, they
are left eye, right eye, nose, left and right corner of the mouth. Left is the picture's left.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featherface.annotations.files import (
    FACE,
    Report,
    class_name,
    picture_folder,
    picture_name,
    read_text,
    stop,
)
from featherface.annotations.sizes import with_sizes
from featherface.annotations.types import Annotation, faces_of
from featherface.atomic import write_text
from featherface.detections import LANDMARKS
from featherface.errors import DataError

_KEYPOINTS = 3 * len(LANDMARKS)
_OURS = list(range(len(LANDMARKS)))


def read_coco(path: Path, report: Report = stop) -> list[Annotation]:
    """The pictures of a COCO file, in `images/` beside it, beside its folder `annotations/`, or beside it."""
    content = _content(path)
    folder = picture_folder(path)
    categories = _categories(path, content)
    faces, orders = _faces_by_picture(path, content, categories), _orders(path, categories)
    found: list[Annotation] = []
    for i, image in enumerate(content["images"]):
        try:
            found.append(_annotation(folder, f"{path}: images[{i}]", image, faces, orders))
        except DataError as error:
            report(error)
    for identity, orphans in faces.items():
        where = f"{path}: annotations[{orphans[0][0]}]"
        report(DataError(f"{where}: there is no image with id {identity!r}"))
    return found


def write_coco(annotations: Sequence[Annotation], target: Path) -> None:
    """Write a COCO file. Pictures of unknown size are read to measure them."""
    folder = picture_folder(target)
    images: list[dict[str, Any]] = []
    faces: list[dict[str, Any]] = []
    for number, annotation in enumerate(with_sizes(annotations), 1):
        assert annotation.size is not None
        width, height = annotation.size
        name = picture_name(annotation.path, folder)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for face in range(len(annotation)):
            faces.append({"id": len(faces) + 1, "image_id": number, **_face(annotation, face)})
    category = {"id": 1, "name": FACE, "keypoints": list(LANDMARKS), "skeleton": []}
    content = {"images": images, "annotations": faces, "categories": [category]}
    write_text(target, json.dumps(content, ensure_ascii=False) + "\n")


def _face(annotation: Annotation, face: int) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(v) for v in annotation.boxes[face])
    known = bool(annotation.with_landmarks[face])
    points = [(round(float(x), 3), round(float(y), 3), 2) for x, y in annotation.landmarks[face]]
    return {
        "category_id": 1,
        "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
        "area": round((x2 - x1) * (y2 - y1), 3),
        "iscrowd": int(annotation.ignored[face]),
        "keypoints": [v for point in points for v in point] if known else [0] * _KEYPOINTS,
        "num_keypoints": len(LANDMARKS) if known else 0,
    }


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg})") from error
    lists = ("images", "annotations")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in lists):
        raise DataError(f"{path}: not a COCO file; it needs the lists `images` and `annotations`")
    return content


def _faces_by_picture(
    path: Path, content: dict[str, Any], categories: list[dict[str, Any]]
) -> dict[Any, list[tuple[int, dict[str, Any]]]]:
    """By image id: the objects that are faces, each with its place in the list."""
    wanted = {c["id"] for c in categories if class_name(c.get("name")) == FACE}
    faces = defaultdict(list)
    for i, item in enumerate(content["annotations"]):
        if (
            not isinstance(item, dict)
            or not isinstance(item.get("image_id"), int | str)
            or "bbox" not in item
        ):
            raise DataError(f"{path}: annotations[{i}]: no `image_id` or no `bbox`")
        if not isinstance(item.get("category_id"), int | str | None):
            raise DataError(f"{path}: annotations[{i}]: category_id {item['category_id']!r} is not one")
        if not wanted or item.get("category_id") in wanted:
            faces[item["image_id"]].append((i, item))
    return faces


def _categories(path: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    found = content.get("categories") or []
    if not isinstance(found, list) or not all(
        isinstance(c, dict) and isinstance(c.get("id"), int | str) for c in found
    ):
        raise DataError(f"{path}: `categories` is not a list of objects with an `id`")
    return found


def _orders(path: Path, categories: list[dict[str, Any]]) -> dict[Any, list[int]]:
    """By category id: where our five points are among the category's own."""
    orders = {}
    for category in categories:
        named = category.get("keypoints") or []
        if isinstance(named, list) and len(named) == len(LANDMARKS):
            points = [_point(str(name)) for name in named]
            if set(points) != set(LANDMARKS):
                raise DataError(f"{path}: keypoints {', '.join(map(str, named))}: not {', '.join(LANDMARKS)}")
            orders[category["id"]] = [points.index(point) for point in LANDMARKS]
    return orders


def _point(name: str) -> str:
    """What we call a keypoint of this name, such as `mouth_left` or `nose tip`."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    return next((point for point in LANDMARKS if set(point.split("_")) <= words), name)


def _annotation(
    folder: Path,
    where: str,
    image: Any,
    faces: dict[Any, list[tuple[int, dict[str, Any]]]],
    orders: dict[Any, list[int]],
) -> Annotation:
    if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) or "id" not in image:
        raise DataError(f"{where}: no `id` or no `file_name`")
    if not isinstance(image["id"], int | str):
        raise DataError(f"{where}: id {image['id']!r} is not a number or a word")
    rows = [
        _row(
            f"{where} ({image['file_name']}), annotations[{i}]",
            f,
            orders.get(f.get("category_id"), _OURS),
        )
        for i, f in faces.pop(image["id"], [])
    ]
    boxes = np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4)
    width, height = image.get("width"), image.get("height")
    size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
    return faces_of(
        folder / image["file_name"],
        np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1),
        np.array([points for _, points, _ in rows], np.float32).reshape(-1, 5, 2),
        [ignored for _, _, ignored in rows],
        size,
    )


def _row(where: str, face: dict[str, Any], order: list[int]) -> tuple[list[float], list[float], bool]:
    """Box x y w h, ten landmark coordinates (NaN where unknown), ignored."""
    try:
        box = [float(v) for v in face["bbox"]]
        marks = np.array(face.get("keypoints") or [0] * _KEYPOINTS, np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: {error}") from error
    if len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) < 0:
        raise DataError(f"{where}: bbox {box} is not x, y, width, height")
    if marks.shape != (_KEYPOINTS,):
        raise DataError(f"{where}: keypoints of shape {marks.shape}; five points are {_KEYPOINTS} numbers")
    x, y, visible = marks.reshape(5, 3)[order].T
    points = np.where(visible[:, None] > 0, np.stack([x, y], 1), np.nan)
    return box, points.ravel().tolist(), bool(face.get("iscrowd", 0) or face.get("ignore", 0))
