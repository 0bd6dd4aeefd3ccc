"""Where Pascal VOC sets keep their XML files, and which of them are one split's.

    DIR/Annotations/<name>.xml          DIR/JPEGImages/<name>.jpg          one set (or images/ for JPEGImages/)
    DIR/ImageSets/Main/train.txt        names of it, a line each           splits of it: the list is a source
    DIR/Annotations/train/<name>.xml    DIR/JPEGImages/train/<name>.jpg    splits in it: that folder is a source
    DIR/train/<name>.xml                DIR/train/<name>.jpg               splits as sets: `DIR/train` is a source

A source is one split: what trains must never hold what validates, so that several are refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from featherface.annotations.files import LABEL_FOLDERS, SPLIT, lines_of, picture_folder
from featherface.errors import DataError

_FOLDERS = ("Annotations", "annotations", ".")
_LISTS = Path("ImageSets", "Main")


@dataclass(frozen=True)
class Files:
    """XML files below `folder`, and the folder below which their pictures lie in the same way."""

    folder: Path
    paths: list[Path]
    pictures: Path

    def pictures_of(self, path: Path) -> Path:
        """The folder that holds the picture of an XML file."""
        return self.pictures / path.relative_to(self.folder).parent


def files_of(source: Path) -> Files:
    """The XML files of a source: a folder, one file, or a list of names; DataError when they are not one split's."""
    if is_list(source):
        return _files_of_list(source)
    if source.is_file():
        return Files(source.parent, [source], _pictures(source.parent))
    folder = voc_folder(source)
    if folder is None:
        raise DataError(f"{source}: no XML files in it or in its Annotations/")
    lists = [p for p in sorted((source / _LISTS).glob("*.txt")) if SPLIT.fullmatch(p.stem)]
    if len(lists) == 1:
        return _files_of_list(lists[0])
    splits = lists or [
        p for p in sorted(folder.glob("*/")) if SPLIT.fullmatch(p.name) and any(p.glob("*.xml"))
    ]
    if len(splits) > 1:
        raise DataError(f"{source}: {len(splits)} splits, name one of them: {', '.join(map(str, splits))}")
    return Files(folder, sorted(folder.rglob("*.xml")), _pictures(folder))


def is_list(path: Path) -> bool:
    """Whether a file is a list of names such as DIR/ImageSets/Main/train.txt."""
    return path.suffix == ".txt" and path.is_file() and path.absolute().parent.parts[-2:] == _LISTS.parts


def voc_folder(folder: Path) -> Path | None:
    """Where the XML files of a VOC folder lie, or None when it has none."""
    places = (folder / name for name in _FOLDERS)
    return next((place for place in places if any(place.glob("*.xml")) or any(place.glob("*/*.xml"))), None)


def _files_of_list(source: Path) -> Files:
    """Names without suffix; a second column, as lists of one class have, says -1 where the class is not there."""
    root = source.absolute().parents[2]
    folder = voc_folder(root)
    if folder is None:
        raise DataError(f"{source}: no XML files in {root} or in its Annotations/")
    lines = map(str.split, lines_of(source))
    paths = [folder / f"{name}.xml" for name, *there in lines if there != ["-1"]]
    if not paths:
        raise DataError(f"{source}: lists no pictures")
    return Files(folder, paths, _pictures(folder))


def _pictures(folder: Path) -> Path:
    """The pictures' folder; for DIR/Annotations/train it is below the one that belongs to DIR/Annotations."""
    whole = folder.absolute()
    for parent in whole.parents:
        if parent.name.lower() in LABEL_FOLDERS:
            below = picture_folder(parent / "any.xml") / whole.relative_to(parent)
            if below != whole and below.is_dir():
                return below
    return picture_folder(folder / "any.xml")
