"""Every label format reads back what it wrote, and says what is wrong with file and line."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from featherface.annotations import FORMATS, Annotation, read_annotations, write_annotations
from featherface.errors import ConfigError, DataError

KEEPS_LANDMARKS = {"retinaface", "coco", "yolo", "voc"}
FOLDERS = {"yolo", "voc"}


@pytest.fixture
def pictures(tmp_path):
    """Two faces (one with landmarks), one ignored; a picture without faces; names with a space and an umlaut."""
    folder = tmp_path / "images" / "0--Parade"
    folder.mkdir(parents=True)
    for name in ("zwei größe.png", "none.png"):
        cv2.imencode(".png", np.zeros((90, 120, 3), np.uint8))[1].tofile(folder / name)
    points = np.full((3, 5, 2), np.nan, np.float32)
    points[0] = [[22, 25], [32, 25], [27, 31], [23, 37], [31, 37]]
    boxes = [[18, 16, 36, 42], [60.5, 10.25, 80, 33], [90, 50, 100, 62]]
    return [
        Annotation(folder / "none.png", np.zeros((0, 4)), np.zeros((0, 5, 2)), np.zeros(0), (120, 90)),
        Annotation(folder / "zwei größe.png", boxes, points, [False, False, True], (120, 90)),
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read(name, pictures, tmp_path):
    target = tmp_path if name in FOLDERS else tmp_path / f"labels{'.json' if name == 'coco' else '.txt'}"
    write_annotations(pictures, target, name)
    found = {a.path.name: a for a in read_annotations(target, name)}
    assert set(found) == {a.path.name for a in pictures}
    assert len(found["none.png"]) == 0
    before, after = pictures[1], found["zwei größe.png"]
    assert after.path.resolve() == before.path.resolve(), "the picture is found from where the labels lie"
    order = np.lexsort(after.boxes.T)[np.argsort(np.lexsort(before.boxes.T))]
    assert np.allclose(after.boxes[order], before.boxes, atol=1.0 if name == "wider" else 0.01)
    assert after.ignored[order].tolist() == before.ignored.tolist()
    assert after.with_landmarks[order].tolist() == [name in KEEPS_LANDMARKS, False, False]
    if name in KEEPS_LANDMARKS:
        assert np.allclose(after.landmarks[order][0], before.landmarks[0], atol=0.02)


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_is_found_out(name, pictures, tmp_path):
    file = {"retinaface": "label.txt", "wider": "wider_face_val_bbx_gt.txt", "coco": "faces.json"}.get(
        name, ""
    )
    write_annotations(pictures, tmp_path / file if file else tmp_path, name)
    assert sum(len(a) for a in read_annotations(tmp_path)) == 3


GOOD_FACE = "10 10 5 5 " + " ".join(["-1"] * 15)


@pytest.mark.parametrize(
    ("format", "content", "reason"),
    [
        pytest.param("retinaface", "10 10 5 5\n", ":1: a face before", id="face before its picture"),
        pytest.param("retinaface", f"# a.png\n{GOOD_FACE}\n1 2 3\n", ":3:", id="three numbers for a face"),
        pytest.param("retinaface", "# a.png\n10 ten 5 5\n", ":2:", id="a word for a number"),
        pytest.param("retinaface", "# a.png\n10 nan 5 5\n", ":2:", id="not finite"),
        pytest.param("wider", "a.png\n2\n1 2 3 4 0 0 0 0 0 0\n", "", id="fewer faces than counted"),
        pytest.param("wider", "a.png\nmany\n", ":2:", id="a count that is none"),
        pytest.param("coco", "{]", "", id="not JSON"),
        pytest.param("coco", "[]", "", id="JSON, but no COCO"),
        pytest.param(
            "coco",
            json.dumps({"images": [], "annotations": [{"image_id": 9, "bbox": [1, 1, 2, 2]}]}),
            "9",
            id="unknown picture",
        ),
        pytest.param(
            "coco",
            json.dumps(
                {"images": [], "annotations": [{"image_id": 9, "bbox": [1, 1, 2, 2], "category_id": [1]}]}
            ),
            "annotations[0]: category_id [1]",
            id="a list for a category",
        ),
        pytest.param(
            "coco",
            json.dumps({"images": [], "annotations": [], "categories": [{"name": "face"}]}),
            "`categories`",
            id="a category without an id",
        ),
        pytest.param(
            "coco",
            json.dumps(
                {
                    "images": [],
                    "annotations": [],
                    "categories": [{"id": 1, "keypoints": ["a", "b", "c", "d", "e"]}],
                }
            ),
            "keypoints a, b, c, d, e",
            id="five unknown points",
        ),
    ],
)
def test_wrong_labels_are_named(format, content, reason, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text(content)
    with pytest.raises(DataError) as error:
        read_annotations(path, format)
    assert str(path) in str(error.value) and reason in str(error.value)


ORDERS = [
    pytest.param(None, [0, 1, 2, 3, 4], id="no categories"),
    pytest.param([], [0, 1, 2, 3, 4], id="a category that names no points"),
    pytest.param(
        ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"], [0, 1, 2, 3, 4], id="as we write them"
    ),
    pytest.param(
        ["nose", "left eye", "right eye", "mouth_left", "mouth_right"], [1, 2, 0, 3, 4], id="the nose first"
    ),
    pytest.param(
        ["Right-Eye", "Left-Eye", "Nose_Tip", "Right_Mouth_Corner", "Left_Mouth_Corner"],
        [1, 0, 2, 4, 3],
        id="right before left",
    ),
]


@pytest.mark.parametrize(("named", "order"), ORDERS)
def test_the_points_of_coco_come_in_our_order(named, order, tmp_path):
    categories = None if named is None else [{"id": 7, "name": "Face", "keypoints": named}]
    face = {
        "image_id": 1,
        "category_id": 7,
        "bbox": [1, 1, 9, 9],
        "keypoints": [v for i in range(5) for v in (i, i, 2)],
    }
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [face], "categories": categories}
    (tmp_path / "faces.json").write_text(json.dumps(content))
    (found,) = read_annotations(tmp_path / "faces.json")
    assert found.landmarks[0, :, 0].tolist() == order


@pytest.mark.parametrize("name", ["face", "Face", " FACE "])
@pytest.mark.parametrize("format", ["yolo", "voc", "coco"])
def test_where_a_class_is_called_face_others_are_left_out(format, name, tmp_path):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((20, 20, 3), np.uint8))
    if format == "yolo":
        (tmp_path / "labels").mkdir()
        (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.9 0.9\n")
        (tmp_path / "classes.txt").write_text(f"{name}\ncar\n")
        source = tmp_path
    elif format == "voc":
        box = "<bndbox><xmin>5</xmin><ymin>5</ymin><xmax>15</xmax><ymax>15</ymax></bndbox>"
        objects = "".join(f"<object><name>{n}</name>{box}</object>" for n in (name, "car"))
        source = tmp_path / "a.xml"
        source.write_text(f"<annotation><filename>a.png</filename>{objects}</annotation>")
    else:
        source = tmp_path / "faces.json"
        boxes = [{"image_id": 1, "category_id": i, "bbox": [5, 5, 10, 10]} for i in (1, 2)]
        categories = [{"id": 1, "name": name}, {"id": 2, "name": "car"}]
        images = [{"id": 1, "file_name": "a.png"}]
        source.write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))
    (found,) = read_annotations(source, format)
    assert found.boxes.tolist() == [[5, 5, 15, 15]]


def test_with_a_report_the_rest_is_read(tmp_path):
    path = tmp_path / "label.txt"
    path.write_text(f"# bad.png\n1 2\n# good.png\n{GOOD_FACE}\n")
    problems = []
    (found,) = read_annotations(path, report=problems.append)
    assert found.path.name == "good.png" and len(problems) == 1 and "label.txt:2" in str(problems[0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"boxes": [[5, 5, 1, 9]]}, "ends before it begins", id="upside down"),
        pytest.param({"boxes": [[5, 5, np.inf, 9]]}, "not finite", id="infinite"),
        pytest.param({"ignored": [False, True]}, "do not fit", id="two flags for a face"),
        pytest.param({"landmarks": [[[1, 1]] * 4 + [[np.nan, 1]]]}, "five landmarks", id="four points"),
        pytest.param({"size": (0, 5)}, "size", id="no width"),
    ],
)
def test_an_annotation_is_whole(change, reason):
    whole = {"boxes": [[1, 1, 9, 9]], "landmarks": np.full((1, 5, 2), np.nan), "ignored": [False]}
    with pytest.raises(DataError, match=f"a.png.*{reason}"):
        Annotation("a.png", **{**whole, **change})


def test_unknown_formats_and_missing_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match="pascal"):
        read_annotations(tmp_path, "pascal")
    with pytest.raises(DataError, match="gone"):
        read_annotations(tmp_path / "gone")
    with pytest.raises(DataError, match="no label"):
        read_annotations(tmp_path)


def test_the_training_set_is_read_whole_and_fast(shared):
    found = read_annotations(shared / "data" / "widerface" / "train" / "label.txt")
    assert len(found) == 4002
    assert sum(len(a) for a in found) == 57_173
    # The published count; thirty more have their first point left of the picture.
    assert sum(int((a.landmarks[:, 0, 0] >= 0).sum()) for a in found) == 23_775
