"""Where YOLO sets keep their pictures: below `images/`, in a folder for each split, or where `data.yaml` says.

    DIR/images/<name>.jpg            DIR/labels/<name>.txt            one set
    DIR/images/train/<name>.jpg      DIR/labels/train/<name>.txt      splits in it: `DIR/images/train` is a source
    DIR/train/images/<name>.jpg      DIR/train/labels/<name>.txt      splits as sets: `DIR/train` is a source

A source is one split: what trains must never hold what validates, so that several are refused by name.
`data.yaml` as a source is its `train:`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from featherface.annotations.files import SPLIT, lines_of, picture_files, read_text
from featherface.errors import DataError
from featherface.images import IMAGE_SUFFIXES

YAML_SUFFIXES = (".yaml", ".yml")
_YAML = "data.yaml"
_KEYS = ("train", "val", "test")


@dataclass(frozen=True)
class Part:
    """Pictures whose labels lie below `root`/labels, and the names of their classes."""

    root: Path
    pictures: list[Path]
    classes: list[str]


def is_yolo(folder: Path) -> bool:
    """Whether a folder is a YOLO set, a split of one, or holds sets that `parts_of` can name."""
    inside = (folder / "labels").is_dir() or _root_and_split(folder)[0] != folder
    return inside or bool(_sets_in(folder)) or (folder / _YAML).is_file()


def parts_of(source: Path) -> list[Part]:
    """The pictures of a source, in one part for each place; DataError when they are not one split's."""
    return [_part_of_folder(source)] if source.is_dir() else _parts_of_yaml(source)


def _part_of_folder(folder: Path) -> Part:
    root, split = _root_and_split(folder)
    if split:
        for place in (root / "images" / split, root / "labels" / split):
            if not place.is_dir():
                raise DataError(f"{folder}: a split needs images/ and labels/, and there is no {place}")
        pictures = picture_files(root / "images" / split)
    elif listed := lines_of(root / "train.txt"):
        pictures = [root / name for name in listed]
    else:
        splits = _splits_in(root)
        if len(splits) > 1:
            raise DataError(f"{folder}: {len(splits)} splits, name one of them: {_choices(root, splits)}")
        pictures = picture_files(root / "images")
    if pictures:
        return Part(root, pictures, _classes_of(root))
    if split:
        raise DataError(f"{folder}: no pictures in {root / 'images' / split}")
    if choices := _choices(root, _sets_in(root)):
        raise DataError(f"{folder}: no pictures in images/, name what to read: {choices}")
    raise DataError(f"{folder}: no pictures in images/, and no train.txt that lists some")


def _parts_of_yaml(path: Path) -> list[Part]:
    places = _places(path, "train")
    if not places:
        raise DataError(f"{path}: no `train:`, which says where the pictures are")
    names = _names(path)
    parts = []
    for place in places:
        if place.is_dir():
            if not (_root_and_split(place)[0] / "labels").is_dir():
                raise DataError(f"{path}: train: {place}: no labels/ beside its images/")
            part = _part_of_folder(place)
        elif place.is_file():
            listed = [place.parent / name for name in lines_of(place)]
            if not listed:
                raise DataError(f"{place}: lists no pictures")
            part = Part(path.parent, listed, _classes_of(path.parent))
        else:
            raise DataError(f"{path}: train: {place}: no such file or folder")
        parts.append(Part(part.root, part.pictures, names or part.classes))
    return parts


def _root_and_split(folder: Path) -> tuple[Path, str]:
    """The folder that holds images/ and labels/, and which folder below these two is meant: "" for all."""
    if (folder / "images").is_dir() or (folder / "labels").is_dir():
        return folder, ""
    for parts in (folder.parts, folder.absolute().parts):
        for i in reversed([i for i, name in enumerate(parts) if name in ("images", "labels")]):
            root = Path(*parts[:i])
            if (root / "images").is_dir() and (root / "labels").is_dir():
                return root, "/".join(parts[i + 1 :])
    return folder, ""


def _splits_in(root: Path) -> list[Path]:
    """The folders below images/ that are splits by their name or by data.yaml, and hold pictures."""
    images = root / "images"
    whole = _absolute(images)
    named = [p for key in _KEYS for p in _places(root / _YAML, key) if whole in p.parents]
    found = {images / p.relative_to(whole) for p in named}
    found |= {place for place in images.glob("*") if SPLIT.fullmatch(place.name)}
    return sorted(place for place in found if place.is_dir() and _holds_pictures(place))


def _sets_in(folder: Path) -> list[Path]:
    """The folders in this one that are sets of their own, as Roboflow's train/, valid/ and test/."""
    return sorted(place.parent for place in folder.glob("*/images") if (place.parent / "labels").is_dir())


def _holds_pictures(folder: Path) -> bool:
    return any(p.suffix.lower() in IMAGE_SUFFIXES for p in folder.rglob("*"))


def _choices(root: Path, folders: Sequence[Path]) -> str:
    of_yaml = [f"{root / _YAML} (its train:)"] if _places(root / _YAML, "train") else []
    return ", ".join([*map(str, folders), *of_yaml])


def _classes_of(root: Path) -> list[str]:
    """The names of the classes; from the data.yaml beside a set, too, when that one names it."""
    names = lines_of(root / "classes.txt") or _names(root / _YAML)
    whole = _absolute(root)
    beside = whole.parent / _YAML
    if names or not any(p.is_relative_to(whole) for key in _KEYS for p in _places(beside, key)):
        return names
    return _names(beside)


def _places(path: Path, key: str) -> list[Path]:
    """The files or folders that `train:`, `val:` or `test:` of a data.yaml name, with absolute paths."""
    text = _yaml(path)
    bases = [path.parent / base for base in _values(text, "path")[:1]] + [path.parent]
    found = []
    for entry in filter(None, _values(text, key)):
        # Roboflow writes `../train/images` for the folder beside the file, and every reader of it knows.
        names = [entry, entry.removeprefix("../")]
        places = [_absolute(base / name) for base in bases for name in names]
        found.append(next((place for place in places if place.exists()), places[0]))
    return found


def _absolute(path: Path) -> Path:
    """Without `..`, and links left as they are: a linked folder is still called images."""
    return Path(os.path.normpath(path.absolute()))


def _names(path: Path) -> list[str]:
    """`names:` of data.yaml, `{0: face, ...}`, `[face, ...]` or a line each."""
    pairs = [
        re.fullmatch(r"(?:(\d+)\s*:\s*)?['\"]?(.*?)['\"]?", v) for v in _values(_yaml(path), "names", False)
    ]
    numbered = {int(pair[1] or i): pair[2] for i, pair in enumerate(pairs) if pair}
    return [numbered.get(i, "") for i in range(max(numbered, default=-1) + 1)]


def _yaml(path: Path) -> str:
    """The text of a YAML file without comments and empty lines; nothing when there is no such file."""
    lines = read_text(path).split("\n") if path.is_file() else []
    return "\n".join(line for line in (re.sub(r"(^|\s)#.*", "", line).rstrip() for line in lines) if line)


def _values(text: str, key: str, scalar: bool = True) -> list[str]:
    """The value or values of a key at the top of a YAML file; without a parser for all of YAML."""
    found = re.search(
        rf"^{key}:[ \t]*(?:(?P<inline>[\[{{][^\]}}]*[\]}}])|(?P<scalar>\S[^\n]*))?"
        r"(?P<block>(?:\n[ \t-]+\S[^\n]*)*)",
        text,
        re.MULTILINE,
    )
    if found is None:
        return []
    if found["scalar"]:
        return [found["scalar"].strip().strip("'\"")] if scalar else []
    entries = re.split(r"[,\n]", (found["inline"] or found["block"]).strip("[]{} \n"))
    return [entry.lstrip("- \t").strip().strip("'\"") for entry in entries if entry.strip()]
