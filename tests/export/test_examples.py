"""The examples beside exported files say where a face is in the picture as it came."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra train is not installed")

from featherface import Detector
from featherface.export.export import export_model
from featherface.export.options import Options, find_format
from featherface.export.snippets import write_snippet
from featherface.images import resize

HEAVY = pytest.mark.slow
INT8 = {"precision": "int8", "calibration_images": 3}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        pytest.param("onnx", {}, id="onnx"),
        pytest.param("onnx", {"with_decode": True}, id="onnx: decoded", marks=HEAVY),
        pytest.param("onnx", {"with_nms": True}, id="onnx: suppressed", marks=HEAVY),
        pytest.param("openvino", {}, id="openvino", marks=HEAVY),
        pytest.param("openvino", {"with_decode": True}, id="openvino: decoded", marks=HEAVY),
        pytest.param("openvino", {"with_nms": True}, id="openvino: suppressed", marks=HEAVY),
        pytest.param("openvino", {**INT8}, id="openvino: bytes", marks=HEAVY),
        pytest.param("openvino", {**INT8, "with_decode": True}, id="openvino: bytes, decoded", marks=HEAVY),
        pytest.param("openvino", {**INT8, "with_nms": True}, id="openvino: bytes, suppressed", marks=HEAVY),
    ],
)
@pytest.mark.long
def test_a_larger_picture_gets_the_detectors_boxes(name, more, v2, portrait, examples, tmp_path):
    pytest.importorskip(name)
    if "precision" in more:
        more = {**more, "calibration": examples}
    options = Options(find_format(name), input_size=(320, 416), **more)
    done = export_model(v2, "v2", tmp_path, options)
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), resize(portrait, 1024, 1024)[..., ::-1])
    expected = Detector("v2").detect(resize(portrait, 320, 320)).boxes[0] * 1024 / 320
    shown = subprocess.run(
        [sys.executable, done.snippet, photo], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(shown) == 1
    _, box, points = re.split(r" (?=\[)", shown[0], maxsplit=2)
    np.testing.assert_allclose(json.loads(box), expected, atol=8)
    x, y = np.array(json.loads(points)).T
    assert (
        (x > expected[0]).all()
        and (x < expected[2]).all()
        and (y > expected[1]).all()
        and (y < expected[3]).all()
    )
    if not options.decodes:
        found = Detector(done.model, threads=1).detect(photo)
        np.testing.assert_allclose(json.loads(box), found.boxes[0], atol=1)


PYTHON = [
    pytest.param(name, more, id=f"{name} {more}")
    for name in ("onnx", "openvino")
    for more in ({}, {"with_decode": True}, {"with_nms": True})
]
UNREADABLE = [
    pytest.param([], id="no photo"),
    pytest.param(["none.jpg"], id="no such photo"),
    pytest.param(["text.jpg"], id="no photo inside"),
    pytest.param(["text.jpg", "none.jpg"], id="two"),
]


@pytest.mark.parametrize(("name", "more"), PYTHON)
def test_a_photo_that_cannot_be_read_is_one_line(name, more, plain, tmp_path):
    pytest.importorskip(name, reason=f"{name} is not installed")
    kind = find_format(name)
    example = write_snippet(tmp_path / f"v2{kind.suffix}", Options(kind, **more), plain.config)
    _refused(example, ["none.jpg"])


@pytest.mark.parametrize("photos", UNREADABLE)
def test_whatever_is_wrong_with_the_photo_is_one_line(photos, plain, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    _refused(write_snippet(tmp_path / "v2.onnx", Options(find_format("onnx")), plain.config), photos)


def _refused(example, photos):
    done = subprocess.run(
        [sys.executable, example, *photos], capture_output=True, text=True, cwd=example.parent
    )
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") == 1 and "one picture that can be read" in done.stderr
    assert all(photo in done.stderr for photo in photos)


@pytest.mark.parametrize("decode", [False, True], ids=["raw", "decoded"])
@pytest.mark.parametrize("name", ["coreml", "litert"])
def test_the_examples_for_phones_are_filled_in(name, decode, plain, tmp_path):
    """Swift and Kotlin: every place is filled, brackets are closed, and the landmarks are used."""
    kind = find_format(name)
    options = Options(kind, input_size=(320, 416), with_decode=decode)
    text = write_snippet(tmp_path / f"v2{kind.suffix}", options, plain.config).read_text()
    assert "@" not in text
    for left, right in ("()", "[]", "{}"):
        assert text.count(left) == text.count(right), left
    assert len(re.findall(r"landmarks\[", text)) >= 2 and "points" in text


@pytest.mark.parametrize("name", ["ncnn", "torchscript", "executorch"])
@pytest.mark.parametrize("size", [(320, 416), None], ids=["one size", "any size"])
def test_the_cpp_examples_divide_by_what_they_shrank_by(name, size, plain, tmp_path):
    kind = find_format(name)
    if size is None and not kind.dynamic:
        pytest.skip("has one input size")
    text = write_snippet(
        tmp_path / f"v2{kind.suffix}", Options(kind, input_size=size), plain.config
    ).read_text()
    assert text.index("const double shrink =") < text.index("f.x1 / shrink, f.y1 / shrink, f.x2 / shrink")
    assert ("cv::resize" in text) == (size is not None)


@pytest.mark.parametrize(
    ("size", "count"),
    [
        pytest.param((320, 416), "priors = 5460;", id="one size"),
        pytest.param(
            None,
            "priors = size_t(2) * ((rows / 8) * (columns / 8) + (rows / 16) * (columns / 16) + (rows / 32)",
            id="any size: the picture's, not a default's",
        ),
    ],
)
def test_the_decoded_cpp_example_reads_as_many_priors_as_there_are(size, count, plain, tmp_path):
    kind = find_format("torchscript")
    options = Options(kind, input_size=size, with_decode=True)
    assert count in write_snippet(tmp_path / "v2.pt", options, plain.config).read_text()
