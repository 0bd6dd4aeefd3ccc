"""Half precision: stored in files, and computed in where OpenVINO is told to. Nano-B, the detector's own faces."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra train is not installed")

from featherface import Detector
from featherface.export.export import export_model
from featherface.export.load import load_model
from featherface.export.options import Options, find_format
from featherface.images import resize
from featherface.model import count_parameters

pytestmark = pytest.mark.long

SIZE = (320, 320)


@pytest.fixture(scope="module")
def nano_b():
    return load_model("nano_b")[1]


@pytest.fixture
def photo(portrait):
    return resize(portrait, *SIZE)


def _finds_the_same_face(detector, photo, pixels):
    found, expected = detector.detect(photo), Detector("nano_b", threads=1).detect(photo)
    assert len(found) == len(expected) == 1
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=pixels)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=pixels)


@pytest.mark.parametrize(
    ("name", "module"),
    [("onnx", "onnx"), ("ncnn", "pnnx"), ("openvino", "openvino")],
    ids=lambda value: value,
)
def test_a_file_of_half_the_size_finds_the_same_face(name, module, nano_b, photo, tmp_path):
    pytest.importorskip(module, reason=f"{module} is not installed: see docs/deployment.md")
    done = export_model(nano_b, "nano_b", tmp_path, Options(find_format(name), SIZE, "fp16"))
    assert done.parity.matched == done.parity.faces > 5
    assert 0 < max(done.parity.max_difference.values()) < 0.5, "half precision rounds, but little"
    weights = 2 * count_parameters(nano_b)
    assert done.size < weights + 176_000 + 400_000 * (name == "openvino"), "two bytes each, and its own XML"
    _finds_the_same_face(Detector(done.model, threads=1), photo, 0.5)


@pytest.fixture(scope="module")
def openvino_file(nano_b, tmp_path_factory):
    pytest.importorskip("openvino", reason="openvino is not installed: see docs/deployment.md")
    folder = tmp_path_factory.mktemp("openvino")
    return export_model(nano_b, "nano_b", folder, Options(find_format("openvino"), SIZE)).model


@pytest.mark.parametrize(("precision", "pixels"), [("f32", 0.05), ("f16", 0.5), ("bf16", 3)])
def test_openvino_finds_the_same_face_in_any_precision(precision, pixels, openvino_file, photo):
    """Where the processor lacks one, OpenVINO computes in float32, so this is about what is asked for being taken."""
    from featherface.runtimes.openvino import OpenVinoSession

    session = OpenVinoSession(openvino_file, threads=1, precision=precision)
    _finds_the_same_face(Detector(session), photo, pixels)
