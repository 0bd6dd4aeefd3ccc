"""Files of other runtimes in the detector: the same faces, and clear words for what is wrong with a file."""

from __future__ import annotations

import json
import pickle
import shutil
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


@pytest.mark.parametrize("copied", RUNTIMES, indirect=True)
@pytest.mark.parametrize(("damage", "reason"), DAMAGE)
def test_a_damaged_file_is_told_before_its_runtime_sees_it(copied, damage, reason):
    damage(copied)
    with pytest.raises(ModelError, match=reason):
        Detector(copied)


@pytest.mark.parametrize("copied", ["openvino"], indirect=True)
def test_a_file_that_decodes_is_not_for_the_detector(copied):
    about = json.loads(card_path(copied).read_text())
    card_path(copied).write_text(json.dumps({**about, "with_decode": True}))
    with pytest.raises(ModelError, match="without --with-decode"):
        Detector(copied)


@pytest.mark.parametrize(
    ("suffix", "package", "extra"),
    [(".xml", "openvino", "openvino"), (".param", "ncnn", "ncnn"), (".tflite", "ai_edge_litert", "litert")],
)
def test_a_missing_runtime_is_one_sentence(suffix, package, extra, tmp_path, monkeypatch):
    path = tmp_path / f"model{suffix}"
    path.write_text("")
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    module = {"openvino": "openvino", "ncnn": "ncnn", "litert": "litert"}[extra]
    monkeypatch.delitem(sys.modules, f"featherface.runtimes.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'featherface\[{extra}\]'"):
        open_session(path)
