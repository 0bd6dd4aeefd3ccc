"""What the comparison with torch lets through, and everything it must not."""

from __future__ import annotations

import json
from dataclasses import asdict

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra train is not installed")

from featherface.errors import ModelError
from featherface.export.check import PHOTO, compare
from featherface.export.export import export_model
from featherface.export.options import Options, find_format
from featherface.export.reference import Reference

SIZE = (320, 320)


def _options(**more):
    return Options(find_format("onnx"), **{"input_size": SIZE, **more})


def _quantized(folder, **more):
    return _options(precision="int8", calibration=folder, **more)


def _judge(model, options, change, photos=(PHOTO,)):
    """Compare torch itself, changed, with torch."""
    reference = Reference(model, options)

    def run(images):
        found = reference.run(images)
        if options.with_nms:
            faces = reference.faces(found, images, options.score_threshold)
            found = faces.scores, faces.boxes, faces.landmarks.reshape(-1, 10)
        return change(*(values.copy() for values in found))

    return compare(run, model, options, photos, "here")


def _add_boxes(scores, boxes, landmarks):
    corners = np.arange(500, dtype=np.float32)[:, None] + np.array([0, 0, 9, 9], np.float32)
    more = np.full(500, scores.min(), np.float32), corners, np.zeros((500, 10), np.float32)
    return tuple(np.concatenate(pair) for pair in zip((scores, boxes, landmarks), more, strict=True))


RAW = [
    pytest.param(lambda s, b, p: (s + 0.01, b, p), "scores differ from torch by", id="other scores"),
    pytest.param(lambda s, b, p: (s, b * np.nan, p), "not finite", id="boxes that are no numbers"),
    pytest.param(lambda s, b, p: (s, b, p * np.inf), "not finite", id="points that are no numbers"),
    pytest.param(lambda s, b, p: (s, b + 3, p), "faces are where torch has them", id="moved boxes"),
    pytest.param(lambda s, b, p: (s[:, 1:], b, p), "has shape", id="another number of priors"),
    pytest.param(lambda s, b, p: (s, b, p + 100), "landmarks where torch has them", id="moved points"),
    pytest.param(lambda s, b, p: (s, b, p * 0), "landmarks where torch has them", id="no points"),
    pytest.param(
        lambda s, b, p: (s, np.where(s[..., None] < 0.1, b * 1.1, b), p),
        "values differ from torch",
        id="other values where no face is",
    ),
]
SUPPRESSED = [
    pytest.param(lambda s, b, p: (s - 7, b, p), "not of 0.5 to 1", id="scores of -7"),
    pytest.param(lambda s, b, p: (s[::-1], b, p), "not in order", id="worst first"),
    pytest.param(lambda s, b, p: (s, b, p * np.nan), "not finite", id="points that are no numbers"),
    pytest.param(lambda s, b, p: (s, b, p + 100), "landmarks where torch", id="moved points"),
    pytest.param(lambda s, b, p: (s, b, p[:, :8]), "landmarks has shape", id="four points"),
    pytest.param(lambda s, b, p: (s[:2], b[:2], p[:2]), "only 2 of torch's", id="two faces"),
    pytest.param(lambda s, b, p: (s * 0 + 1, b, p), "scores differ", id="all are sure"),
    pytest.param(_add_boxes, "finds 500 faces that torch does not", id="500 more boxes"),
    pytest.param(
        lambda s, b, p: tuple(np.repeat(x, 3, axis=0) for x in (s, b, p)),
        "faces that torch does not",
        id="each face thrice",
    ),
]
INT8 = [
    pytest.param(lambda s, b, p: (s * 0, b, p), "on average", id="no scores"),
    pytest.param(lambda s, b, p: (s * 0 + 1, b, p), "on average", id="faces everywhere"),
    pytest.param(lambda s, b, p: (s, b + 3, p), "faces are where torch", id="moved boxes"),
    pytest.param(lambda s, b, p: (s, b, p + 5), "landmarks where torch", id="moved points"),
    pytest.param(
        lambda s, b, p: (np.where(np.arange(s.size) % 400 == 0, np.float32(0.6), s), b, p),
        "that torch does not",
        id="a dozen faces more",
    ),
]


@pytest.mark.parametrize(("change", "reason"), RAW)
def test_a_float_file_that_drifts_is_refused(change, reason, v2):
    with pytest.raises(ModelError, match=reason):
        _judge(v2, _options(), change)


@pytest.mark.parametrize(("change", "reason"), SUPPRESSED)
def test_suppressed_faces_that_drift_are_refused(change, reason, v2):
    with pytest.raises(ModelError, match=reason):
        _judge(v2, _options(with_nms=True), change)


@pytest.mark.parametrize(("change", "reason"), INT8)
def test_an_int8_file_that_is_broken_is_refused(change, reason, v2, examples):
    with pytest.raises(ModelError, match=reason):
        _judge(v2, _quantized(examples), change)


def _shaken(scores, boxes, landmarks):
    """As far apart as a usable int8 file is."""
    rng = np.random.default_rng(0)
    noise = [
        rng.normal(0, size, x.shape)
        for size, x in zip((0.02, 0.1, 0.1), (scores, boxes, landmarks), strict=True)
    ]
    return tuple((x + n).astype(np.float32) for x, n in zip((scores, boxes, landmarks), noise, strict=True))


@pytest.mark.parametrize(
    ("options", "change"),
    [
        pytest.param({}, lambda *x: x, id="the same"),
        pytest.param({"with_nms": True}, lambda *x: x, id="the same, suppressed"),
        pytest.param({"with_decode": True, "input_size": None}, lambda *x: x, id="the same, any size"),
        pytest.param({"precision": "int8"}, _shaken, id="int8's own noise"),
    ],
)
def test_what_does_not_drift_passes(options, change, v2, examples):
    more = {"calibration": examples} if "precision" in options else {}
    parity = _judge(v2, _options(**options, **more), change)
    assert parity.faces >= 5 and not parity.extra_faces
    about = json.loads(json.dumps(asdict(parity)))
    assert len(about["max_difference"]) == 3


@pytest.mark.long
def test_photos_without_faces_check_nothing_and_that_is_said(v2, tmp_path):
    photo = tmp_path / "grey.png"
    cv2.imwrite(str(photo), np.full((200, 300, 3), 90, np.uint8))
    with pytest.raises(
        ModelError, match=r"torch finds no faces of a score over 0.50 on .*grey.png, so ONNX Runtime"
    ):
        export_model(v2, "v2", tmp_path / "out", _options(), [photo])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (128, 32)])
def test_a_tiny_input_gets_a_single_face(size, v2):
    parity = _judge(v2, _options(input_size=size), lambda *x: x)
    assert parity.faces >= 1 and parity.pictures == 2
