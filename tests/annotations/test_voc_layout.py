"""Pascal VOC sets in the layouts that people have them in: a source is one split, and several are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from featherface.annotations.read import read_annotations
from featherface.errors import DataError

XML = """<annotation><filename>{name}.jpg</filename><size><width>64</width><height>48</height></size>
<object><name>face</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>12</ymax></bndbox></object></annotation>"""


def make(root: Path, *files: str, **texts: str) -> Path:
    """Empty pictures, XML files that name them, and other files by their text."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(XML.format(name=path.stem) if path.suffix == ".xml" else "", encoding="utf-8")
    for name, text in texts.items():
        path = root / "ImageSets" / "Main" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


DEVKIT = ("Annotations/a.xml", "Annotations/b.xml", "JPEGImages/a.jpg", "JPEGImages/b.jpg")
NESTED = ("Annotations/train/a.xml", "Annotations/val/b.xml", "images/train/a.jpg", "images/val/b.jpg")
BESIDE = ("train/a.xml", "train/a.jpg", "valid/b.xml", "valid/b.jpg")


@pytest.mark.parametrize(
    ("files", "lists", "source", "pictures"),
    [
        pytest.param(DEVKIT, {}, ".", ["JPEGImages/a.jpg", "JPEGImages/b.jpg"], id="one set"),
        pytest.param(DEVKIT, {"train": "b\n"}, ".", ["JPEGImages/b.jpg"], id="the only list is meant"),
        pytest.param(
            DEVKIT,
            {"train": "a\n", "val": "b\n"},
            "ImageSets/Main/val.txt",
            ["JPEGImages/b.jpg"],
            id="a list",
        ),
        pytest.param(
            DEVKIT,
            {"face_train": "a -1\nb  1\n"},
            "ImageSets/Main/face_train.txt",
            ["JPEGImages/b.jpg"],
            id="a list of one class",
        ),
        pytest.param(
            DEVKIT,
            {"face_train": "a -1\nb 1\n"},
            ".",
            ["JPEGImages/a.jpg", "JPEGImages/b.jpg"],
            id="no split's",
        ),
        pytest.param(NESTED, {}, "Annotations/val", ["images/val/b.jpg"], id="a folder in Annotations"),
        pytest.param(BESIDE, {}, "train", ["train/a.jpg"], id="a set beside others"),
        pytest.param(
            ("party/a.xml", "party/a.jpg", "work/b.xml", "work/b.jpg"),
            {},
            ".",
            ["party/a.jpg", "work/b.jpg"],
            id="folders that are no splits",
        ),
    ],
)
def test_a_source_is_one_split(files, lists, source, pictures, tmp_path):
    make(tmp_path, *files, **lists)
    found = read_annotations(tmp_path / source)
    assert [annotation.path for annotation in found] == [tmp_path / picture for picture in pictures]
    assert all(annotation.path.is_file() and len(annotation.boxes) == 1 for annotation in found)


@pytest.mark.parametrize(
    ("files", "lists", "source", "says"),
    [
        pytest.param(DEVKIT, {"train": "a", "val": "b"}, ".", "2 splits.*train.txt.*val.txt", id="two lists"),
        pytest.param(NESTED, {}, ".", "2 splits.*Annotations/train.*Annotations/val", id="folders in it"),
        pytest.param(BESIDE, {}, ".", "2 splits.*train.*valid", id="sets beside each other"),
        pytest.param(
            DEVKIT, {"train": "\n"}, "ImageSets/Main/train.txt", "lists no pictures", id="empty list"
        ),
        pytest.param(DEVKIT, {"train": "c\n"}, ".", "c.xml: no such file", id="a name without XML"),
        pytest.param((), {"train": "a\n"}, "ImageSets/Main/train.txt", "no XML files", id="a list alone"),
    ],
)
def test_what_is_not_one_split_is_refused(files, lists, source, says, tmp_path):
    make(tmp_path, *files, **lists)
    with pytest.raises(DataError, match=says):
        read_annotations(tmp_path / source)
