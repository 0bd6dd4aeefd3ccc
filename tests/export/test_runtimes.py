"""Files of other runtimes in the detector: the same faces, and clear words for what is wrong with a file."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from featherface import Detector
from featherface.boxes import iou_matrix
from featherface.errors import MissingExtraError, ModelError
from featherface.runtime import open_session
from featherface.runtimes.card import card_path

pytestmark = pytest.mark.long

RUNTIMES = ["openvino", "ncnn"]
LITERT = Path(__file__).parent / "data" / "nano_b-fp16-320x320.tflite"
"""By `featherface export --model nano_b --format litert --fp16 --input-size 320x320`, whose converter is large."""


@pytest.fixture
def copied(v2_files, tmp_path, request):
    """One runtime's file in a folder of its own."""
    name = request.param
    if name not in v2_files:
        pytest.skip(f"{name} is not installed")
    source = v2_files[name]
    about = json.loads(card_path(source).read_text())
    for file in [*about["files"], card_path(source).name]:
        shutil.copy(source.with_name(file), tmp_path)
    return tmp_path / source.name


@pytest.mark.parametrize("copied", RUNTIMES, indirect=True)
def test_the_detector_finds_the_same_face(copied, portrait):
    expected, found = Detector("v2").detect(portrait), Detector(copied, threads=1).detect(portrait)
    assert len(found) == len(expected) == 1
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.05)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.05)


@pytest.mark.parametrize("copied", ["ncnn"], indirect=True)
@pytest.mark.parametrize(("factor", "slack"), [(2, 8), (0.75, 8)], ids=["larger", "smaller"])
def test_a_network_of_one_size_sees_other_pictures_too(copied, factor, slack, portrait):
    from featherface.images import resize

    side = int(512 * factor)
    found = Detector(copied, threads=1).detect(resize(portrait, side, side))
    expected = Detector("v2").detect(portrait).boxes * factor
    assert (found.width, found.height) == (side, side)
    np.testing.assert_allclose(found.boxes, expected, atol=slack)


@pytest.mark.parametrize("copied", RUNTIMES, indirect=True)
def test_a_session_is_shared_by_threads_and_survives_pickling(copied):
    session = pickle.loads(pickle.dumps(open_session(copied, threads=1)))
    _answers_threads_as_it_answers_one(session, side=512)


def _answers_threads_as_it_answers_one(session, side):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1, 3, side, side)).astype(np.float32) for _ in range(3)]
    alone = [session.run(x)[0] for x in images]
    with ThreadPoolExecutor(3) as pool:
        together = [scores for scores, _, _ in pool.map(session.run, images)]
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def _shorten(path):
    path.write_bytes(path.read_bytes()[:-1])


DAMAGE = [
    pytest.param(
        lambda model: _shorten(model.with_suffix(".bin")), "does not match the sha256", id="cut weights"
    ),
    pytest.param(lambda model: model.write_text("x"), "does not match the sha256", id="another network"),
    pytest.param(
        lambda model: model.with_suffix(".bin").unlink(), "no such file; it belongs", id="no weights"
    ),
    pytest.param(lambda model: card_path(model).unlink(), "writes it beside the model", id="no JSON"),
    pytest.param(lambda model: card_path(model).write_text("{}"), "not the JSON that", id="another JSON"),
    pytest.param(lambda model: model.unlink(), "no such file", id="no network"),
]


@pytest.mark.parametrize("side", [320, 200, 640], ids=["its size", "smaller", "larger"])
def test_a_litert_file_finds_the_same_face(side, portrait):
    pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")
    from featherface.images import resize

    photo = resize(portrait, side, side)
    found, expected = Detector(LITERT, threads=1).detect(photo), Detector("v2").detect(photo)
    assert len(found) == len(expected) == 1
    assert iou_matrix(found.boxes, expected.boxes)[0, 0] > 0.8


def test_a_litert_session_is_shared_by_threads_and_survives_pickling():
    pytest.importorskip("ai_edge_litert", reason="the extra litert is not installed")
    session = pickle.loads(pickle.dumps(open_session(LITERT, threads=1)))
    _answers_threads_as_it_answers_one(session, side=320)


def test_an_openvino_file_of_bytes_finds_the_same_face(portrait, examples, tmp_path):
    """Its inputs are uint8 in the order of a picture, and floats come to the nearest of those."""
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    from featherface.export.export import export_model
    from featherface.export.load import load_model
    from featherface.export.options import Options, find_format
    from featherface.images import resize

    kind = find_format("openvino")
    options = Options(kind, (320, 320), "int8", calibration=examples, calibration_images=3)
    model = export_model(load_model("nano_b")[1], "nano_b", tmp_path, options).model
    photo = resize(portrait, 320, 320)
    found, expected = Detector(model, threads=1).detect(photo), Detector("v2").detect(photo)
    assert len(found) == len(expected) == 1
    assert iou_matrix(found.boxes, expected.boxes)[0, 0] > 0.8
    shutil.copy(model, tmp_path / "renamed.onnx")
    with pytest.raises(ModelError, match=r"renamed\.onnx: an int8 file for OpenVINO, .* \.openvino\.onnx"):
        open_session(tmp_path / "renamed.onnx")
    session = pickle.loads(pickle.dumps(open_session(model, threads=1)))
    _answers_threads_as_it_answers_one(session, side=320)
    rounded = np.random.default_rng(0).integers(0, 256, (1, 3, 320, 320)).astype(np.float32)
    far = np.where(rounded == 255, 300, np.where(rounded == 0, -20, rounded + 0.4)).astype(np.float32)
    np.testing.assert_array_equal(session.run(far)[0], session.run(rounded)[0])
    with pytest.raises(ModelError, match="fails on images 3x320x320"):
        session.run(rounded[0])


@pytest.mark.slow
def test_an_executorch_file_finds_the_same_face_from_any_thread(portrait, tmp_path):
    pytest.importorskip("executorch", reason="executorch is not installed: see docs/deployment.md")
    from featherface.export.export import export_model
    from featherface.export.load import load_model
    from featherface.export.options import Options, find_format
    from featherface.images import resize

    network = load_model("nano_b")[1]
    file = export_model(network, "nano_b", tmp_path, Options(find_format("executorch"), (320, 320))).model
    photo = resize(portrait, 320, 320)
    found, expected = Detector(file, threads=1).detect(photo), Detector("nano_b").detect(photo)
    assert len(found) == len(expected) == 1
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=0.05)
    np.testing.assert_allclose(found.landmarks, expected.landmarks, atol=0.05)
    _answers_threads_as_it_answers_one(pickle.loads(pickle.dumps(open_session(file, threads=1))), side=320)
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ModelError, match="does not match the sha256"):
        Detector(file)


@pytest.mark.parametrize("threads", [1, 3])
def test_executorchs_pool_takes_the_size_that_it_is_given(threads):
    pytest.importorskip("executorch", reason="executorch is not installed: see docs/deployment.md")
    # A process of its own: a program that is loaded in this one would keep the old pool.
    code = f"from featherface.runtimes.executorch import size_pool; print(size_pool({threads}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize("copied", RUNTIMES, indirect=True)
@pytest.mark.parametrize(("damage", "reason"), DAMAGE)
def test_a_damaged_file_is_told_before_its_runtime_sees_it(copied, damage, reason):
    damage(copied)
    with pytest.raises(ModelError, match=reason):
        Detector(copied)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x.torchscript.pt", "the detector does not run TorchScript files"),
        ("x.mlpackage", "the detector does not run Core ML files"),
        ("x.safetensors", "weights, not a network that runs"),
        ("x.pth", "weights, not a network that runs"),
    ],
)
def test_files_for_other_programs_are_told(name, reason, tmp_path):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=reason):
        Detector(tmp_path / name)


@pytest.mark.parametrize("file", ["x.xml", "x.openvino.onnx", "x.param", "x.tflite"])
def test_a_runtime_that_is_too_old_is_refused_when_a_file_is_opened(file, tmp_path, monkeypatch):
    for module in ("openvino", "ncnn", "ai_edge_litert"):
        pytest.importorskip(module)
    monkeypatch.setattr("featherface.runtimes.versions.metadata.version", lambda package: "0.9")
    with pytest.raises(ModelError, match=r"0\.9 is installed; this needs .* or newer: pip install -U"):
        open_session(tmp_path / file)


@pytest.mark.parametrize("copied", ["openvino"], indirect=True)
def test_a_file_that_decodes_is_not_for_the_detector(copied):
    about = json.loads(card_path(copied).read_text())
    card_path(copied).write_text(json.dumps({**about, "with_decode": True}))
    with pytest.raises(ModelError, match="without --with-decode"):
        Detector(copied)


class Without:
    """An environment in which a package is not installed."""

    def __init__(self, package):
        self.package = package

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {self.package!r}", name=self.package)


@pytest.mark.parametrize(
    ("suffix", "package", "extra"),
    [
        (".xml", "openvino", "openvino"),
        (".openvino.onnx", "openvino", "openvino"),
        (".param", "ncnn", "ncnn"),
        (".tflite", "ai_edge_litert", "litert"),
        (".pte", "executorch", "executorch"),
    ],
)
def test_a_missing_runtime_is_one_sentence(suffix, package, extra, tmp_path, monkeypatch):
    path = tmp_path / f"model{suffix}"
    path.write_text("")
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, f"featherface.runtimes.{extra}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without(package), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=rf"pip install 'featherface\[{extra}\]'"):
        open_session(path)


SETS_UP = """
import openvino
asked = []
class Tensor(openvino.Tensor):
    @property
    def data(self):
        asked.append(self)
        return super().data
openvino.Tensor = Tensor
import featherface.runtimes.openvino
assert asked
"""


def test_openvinos_binding_is_set_up_before_threads_can_be_the_first_to_need_it():
    """Two threads that are the first to read a tensor's data wait for each other for ever, now and then."""
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", SETS_UP], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
