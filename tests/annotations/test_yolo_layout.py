"""YOLO's layouts: each source is one split, and a folder of several is refused by their names."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from featherface.annotations import read_annotations, write_annotations
from featherface.errors import DataError

SPLITS = ["images/train/a.png", "images/train/deep/b.png", "images/val/c.png"]
ROBOFLOW = ["train/images/a.png", "train/images/b.png", "valid/images/c.png"]
ROBOFLOW_YAML = "train: ../train/images\nval: ../valid/images\n\nnc: 2\nnames: ['mask', 'face']\n"


def lay(root, pictures, **texts):
    """Pictures, each with one face of class 1 and one of class 0, and text files (`data_yaml` is data.yaml)."""
    for name in pictures:
        picture = root / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(picture), np.zeros((40, 60, 3), np.uint8))
        label = root / name.replace("images", "labels").replace(".png", ".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("1 0.5 0.5 0.5 0.5\n0 0.5 0.5 0.25 0.25\n")
    for name, text in texts.items():
        (root / name.replace("_", ".")).write_text(text)
    return root


def names(annotations):
    return sorted(a.path.stem for a in annotations)


@pytest.mark.parametrize(
    ("pictures", "texts", "source", "read", "why"),
    [
        (SPLITS, {}, "images/train", "ab", "a split, with folders in it"),
        (SPLITS, {}, "labels/train", "ab", "the same by its labels"),
        (SPLITS, {}, "images/val", "c", "the other split"),
        (SPLITS, {}, "images/train/deep", "b", "a folder of a split"),
        (SPLITS, {"train_txt": "images/val/c.png\n"}, ".", "c", "train.txt says what is meant"),
        (SPLITS, {"train_txt": "images/val/c.png\n"}, "images/train", "ab", "a named split, whatever train.txt says"),
        (SPLITS, {"data_yaml": "train: images/train\nval: images/val\n"}, "data.yaml", "ab", "its train:"),
        (SPLITS, {"data_yaml": "train: images/val # swapped\n"}, "data.yaml", "c", "its train:, not the name"),
        (SPLITS, {"data_yaml": "path: .\ntrain: [images/train/deep, 'images/val']\n"}, "data.yaml", "bc", "a list"),
        (SPLITS, {"data_yaml": "train:\n  # two\n  - images/train\n\n  - images/val\n"}, "data.yaml", "abc", "lines"),
        (SPLITS, {"data_yaml": "path: /content/gone\ntrain: images/train\n"}, "data.yaml", "ab", "another's path:"),
        (SPLITS, {"some_yml": "train: t.txt\n", "t_txt": "./images/val/c.png\n"}, "some.yml", "c", "a list file"),
        (["images/a.png", "images/b.png"], {}, ".", "ab", "no splits"),
        (["images/a.png", "images/b.png"], {}, "images", "ab", "no splits, by the pictures' folder"),
        (["images/train/a.png"], {}, ".", "a", "one split"),
        (["images/0--Parade/a.png", "images/1--Train/b.png"], {}, ".", "ab", "folders that are no splits"),
        (["images/train/a.png", "images/more/b.png"], {}, ".", "ab", "one split and another folder"),
        (ROBOFLOW, {"data_yaml": ROBOFLOW_YAML}, "train", "ab", "a set in a folder of sets"),
        (ROBOFLOW, {"data_yaml": ROBOFLOW_YAML}, "valid", "c", "the other set"),
        (ROBOFLOW, {"data_yaml": ROBOFLOW_YAML}, "valid/images", "c", "by its pictures' folder"),
        (ROBOFLOW, {"data_yaml": ROBOFLOW_YAML}, "data.yaml", "ab", "Roboflow's ../ is beside its data.yaml"),
        (ROBOFLOW, {"data_yaml": "train: train\n"}, "data.yaml", "ab", "the set's folder in train:"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("format", ["auto", "yolo"])
def test_a_source_is_one_split(pictures, texts, source, read, why, format, tmp_path):
    found = read_annotations(lay(tmp_path, pictures, **texts) / source, format)
    assert names(found) == list(read), why
    assert {len(a) for a in found} == {1 if "names" in texts.get("data_yaml", "") else 2}, (
        "labels and classes"
    )
    assert all(a.path.is_file() for a in found)


def test_a_source_relative_to_where_one_stands(tmp_path, monkeypatch):
    lay(tmp_path, SPLITS)
    for place, source in (("", "images/train"), ("images", "train"), ("images/train", ".")):
        monkeypatch.chdir(tmp_path / place)
        assert names(read_annotations(source)) == ["a", "b"], source


CUSTOM = ["images/one/a.png", "images/two/b.png"]


@pytest.mark.parametrize(
    ("pictures", "texts", "source", "reason", "why"),
    [
        (SPLITS, {}, ".", "2 splits, name one of them: {0}/images/train, {0}/images/val", "splits by name"),
        (SPLITS, {}, "images", "{0}/images/train, {0}/images/val", "splits by name, in images/"),
        (SPLITS, {"data_yaml": "train: images/train\n"}, ".", "val, {0}/data.yaml (its train:)", "and data.yaml"),
        (SPLITS, {"data_yaml": "train: .\n"}, "data.yaml", "2 splits, name one of them", "train: is everything"),
        (CUSTOM, {"data_yaml": "train: images/one\nval: images/two\n"}, ".", "{0}/images/one", "names of its own"),
        (ROBOFLOW, {}, ".", "name what to read: {0}/train, {0}/valid", "sets in a folder"),
        (ROBOFLOW, {"data_yaml": ROBOFLOW_YAML}, ".", "{0}/valid, {0}/data.yaml (its train:)", "and data.yaml"),
        (SPLITS, {"data_yaml": "val: images/val\n"}, "data.yaml", "data.yaml: no `train:`", "no train:"),
        (SPLITS, {"data_yaml": "train: images/gone\n"}, "data.yaml", "gone: no such file", "train: leads nowhere"),
        (SPLITS, {"data_yaml": "train: t.txt\n", "t_txt": "\n"}, "data.yaml", "t.txt: lists no", "an empty list"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("format", ["auto", "yolo"])
def test_several_splits_are_refused_by_name(pictures, texts, source, reason, why, format, tmp_path):
    lay(tmp_path, pictures, **texts)
    with pytest.raises(DataError) as error:
        read_annotations(tmp_path / source, format)
    assert reason.format(tmp_path) in str(error.value) and "\n" not in str(error.value), why


@pytest.mark.parametrize("missing", ["images/train", "labels/train", "labels"])
def test_half_a_split_is_no_set_of_empty_pictures(missing, tmp_path):
    (lay(tmp_path, SPLITS, data_yaml="train: images/train\n") / missing).rename(tmp_path / "away")
    for source in ("data.yaml", "images/train", "labels/train"):
        if (tmp_path / source).exists():
            with pytest.raises(DataError):
                read_annotations(tmp_path / source)


def test_an_empty_split_does_not_count(tmp_path):
    (lay(tmp_path, ["images/train/a.png"]) / "images" / "val").mkdir()
    assert names(read_annotations(tmp_path)) == ["a"]


def test_anothers_data_yaml_names_no_classes(tmp_path):
    lay(tmp_path, ["own/images/a.png"], data_yaml="train: elsewhere/images\nnames: [face]\n")
    assert len(read_annotations(tmp_path / "own")[0]) == 2, "class 1 would be unknown to it"


@pytest.mark.parametrize("source", [".", "data.yaml"])
def test_what_is_written_elsewhere_keeps_its_labels(source, tmp_path):
    """The pictures stay below another images/, whose own labels are not the ones that were written."""
    before = read_annotations(lay(tmp_path / "set", SPLITS) / "images" / "train")
    write_annotations([a for a in before if a.path.stem == "a"], tmp_path / "new", "yolo")
    (tmp_path / "set" / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (found,) = read_annotations(tmp_path / "new" / source)
    assert len(found) == 2


def test_listed_pictures_have_the_labels_beside_them(tmp_path):
    lay(tmp_path / "set", SPLITS)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "train.txt").write_text(f"{tmp_path}/set/images/train/a.png\n")
    (tmp_path / "lists" / "data.yaml").write_text("train: train.txt\n")
    (found,) = read_annotations(tmp_path / "lists" / "data.yaml")
    assert len(found) == 2
