"""Labelled pictures from any of the formats, and into any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from featherface.annotations import voc, yolo
from featherface.annotations.coco import read_coco, write_coco
from featherface.annotations.files import Report, picture_folder, picture_name, read_text, stop
from featherface.annotations.retinaface import read_retinaface, write_retinaface
from featherface.annotations.types import Annotation
from featherface.annotations.voc_layout import is_list, voc_folder
from featherface.annotations.wider import read_wider, write_wider
from featherface.annotations.yolo_layout import YAML_SUFFIXES, is_yolo
from featherface.errors import ConfigError, DataError, reason_of

_READERS: dict[str, Callable[[Path, Report], list[Annotation]]] = {
    "retinaface": read_retinaface,
    "wider": read_wider,
    "coco": read_coco,
    "yolo": yolo.read_yolo,
    "voc": voc.read_voc,
}
_WRITERS: dict[str, Callable[[Sequence[Annotation], Path], None]] = {
    "retinaface": write_retinaface,
    "wider": write_wider,
    "coco": write_coco,
    "yolo": yolo.write_yolo,
    "voc": voc.write_voc,
}
_LABEL_FILES: dict[str, Callable[[Sequence[Path], Path], list[Path]]] = {
    "yolo": yolo.label_files,
    "voc": voc.label_files,
}
FORMATS = tuple(_READERS)
"""The label formats by name; those of FOLDER_FORMATS are folders (`yolo` also reads a data.yaml), the others files."""
FOLDER_FORMATS = tuple(_LABEL_FILES)


def read_annotations(source: str | Path, format: str = "auto", report: Report = stop) -> list[Annotation]:
    """The labelled pictures of a file or folder, `auto` finding out the format.

    Raises DataError, which names file and line, for labels that are not what their format says; ConfigError
    for an unknown format. With `report`, problems of single pictures go there instead, and the rest is read.
    """
    path = Path(source)
    if format not in ("auto", *FORMATS):
        raise ConfigError(f"unknown label format {format!r}; there are {', '.join(FORMATS)}")
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    found, kind = _find(path) if format == "auto" else (path, format)
    if found.is_dir() and kind not in FOLDER_FORMATS:
        raise DataError(f"{found}: a folder; the labels of format {kind} are a file")
    if not found.is_dir() and kind == "yolo" and found.suffix.lower() not in YAML_SUFFIXES:
        raise DataError(
            f"{found}: a file; the labels of format yolo are a folder with images/ and labels/, or a data.yaml"
        )
    return _READERS[kind](found, report)


def write_annotations(annotations: Sequence[Annotation], target: str | Path, format: str) -> None:
    """Write labels atomically in one of FORMATS: a file, or for `yolo` and `voc` into a folder.

    How each format keeps landmarks and ignored faces is told in docs/data.md. Raises ConfigError for an
    unknown format, DataError for what a format cannot say, ImageError for a picture that has to be measured
    and cannot be read.
    """
    path = check_target(target, format)
    try:
        _WRITERS[format](annotations, path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({reason_of(error)})") from error


def check_target(target: str | Path, format: str) -> Path:
    """The place that labels are to be written to; ConfigError or DataError when it cannot take that format."""
    if format not in FORMATS:
        raise ConfigError(f"unknown label format {format!r}; there are {', '.join(FORMATS)}")
    path = Path(target)
    folder_wanted = format in FOLDER_FORMATS
    if path.exists() and path.is_dir() != folder_wanted:
        raise DataError(f"{path}: labels of format {format} are a {'folder' if folder_wanted else 'file'}")
    return path


def check_pictures(pictures: Sequence[Path], place: Path, format: str) -> None:
    """DataError for pictures that labels at `place` cannot name, or that would share a label file there."""
    folder = place if format in FOLDER_FORMATS else picture_folder(place)
    for picture in pictures:
        picture_name(picture, folder)
    if format in FOLDER_FORMATS:
        _LABEL_FILES[format](pictures, place)


def _find(path: Path) -> tuple[Path, str]:
    """Where the labels are and what format they have."""
    if not path.is_dir():
        return path, _format_of_file(path)
    if (path / "label.txt").is_file():
        return path / "label.txt", "retinaface"
    if (path / "labels").is_dir():
        return path, "yolo"
    if voc_folder(path) is not None:
        return path, "voc"
    files = [*path.glob("*.json"), *path.glob("annotations/*.json"), *path.glob("*_bbx_gt.txt")]
    if len(files) == 1:
        return files[0], _format_of_file(files[0])
    if files:
        raise DataError(f"{path}: {len(files)} label files, name one of them, such as {sorted(files)[0]}")
    if is_yolo(path):
        return path, "yolo"
    raise DataError(f"{path}: no label.txt, labels/, *.json, *_bbx_gt.txt or XML files in this folder")


def _format_of_file(path: Path) -> str:
    by_suffix = {".json": "coco", ".xml": "voc", **dict.fromkeys(YAML_SUFFIXES, "yolo")}
    if path.suffix.lower() in by_suffix:
        return by_suffix[path.suffix.lower()]
    if is_list(path):
        return "voc"
    lines = [line.strip() for line in read_text(path).split("\n", 8) if line.strip()]
    if not lines or lines[0].startswith("#"):
        return "retinaface"
    if len(lines) > 1 and lines[1].isdecimal():
        return "wider"
    raise DataError(f"{path}:1: not labels of a known format ({', '.join(FORMATS)})")
