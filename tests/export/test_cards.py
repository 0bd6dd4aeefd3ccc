"""The JSON beside a model file: what it names is what is run."""

from __future__ import annotations

import json
import shutil

import pytest

from featherface import Detector
from featherface.errors import ModelError
from featherface.runtimes.card import card_path, checked_spec, sha256

pytestmark = pytest.mark.long


@pytest.fixture
def onnx_copy(tmp_path):
    """The shipped network with a JSON as an export writes it."""
    from featherface.zoo import WEIGHTS

    model = tmp_path / "v2.onnx"
    shutil.copy(WEIGHTS / "v2.onnx", model)
    layout = {
        "format": 1, "name": "v2", "with_decode": False, "input": {"size": None}, "pad_multiple": 32,
        "strides": [8, 16, 32], "prior_sizes": [[16, 32], [64, 128], [256, 512]], "variances": [0.1, 0.2],
    }  # fmt: skip
    card_path(model).write_text(json.dumps({**layout, "files": {model.name: sha256(model)}}))
    return model


def _name(files):
    def change(model):
        about = json.loads(card_path(model).read_text())
        card_path(model).write_text(json.dumps({**about, "files": files(about["files"])}))

    return change


CARDS = [
    pytest.param(lambda model: _append(model, b"x"), "does not match the sha256", id="changed network"),
    pytest.param(lambda model: card_path(model).write_text("{}"), "not the JSON that", id="another JSON"),
    pytest.param(_name(lambda files: {}), r"says nothing of v2\.onnx", id="no files"),
    pytest.param(_name(lambda files: {"other": "0"}), r"says nothing of v2\.onnx", id="other files"),
    pytest.param(
        _name(lambda files: {**files, "../x": "0"}), "names '../x' as a file", id="a file elsewhere"
    ),
    pytest.param(_name(lambda files: {**files, "": "0"}), "names '' as a file", id="a file without a name"),
    pytest.param(_name(lambda files: {**files, "..": "0"}), "names '..' as a file", id="the folder above"),
    pytest.param(_name(lambda files: [1, 2]), "not the JSON that", id="numbers for files"),
]


def _append(path, data):
    path.write_bytes(path.read_bytes() + data)


@pytest.mark.parametrize(("damage", "reason"), CARDS)
def test_an_onnx_file_is_held_to_the_json_beside_it(damage, reason, onnx_copy):
    Detector(onnx_copy, threads=1)
    damage(onnx_copy)
    with pytest.raises(ModelError, match=reason):
        Detector(onnx_copy)


@pytest.mark.parametrize("suffix", [".xml", ".param"])
def test_weights_beside_a_network_must_be_listed_too(suffix, onnx_copy):
    model = onnx_copy.with_suffix(suffix)
    onnx_copy.rename(model)
    about = json.loads(card_path(onnx_copy).read_text())
    card_path(model).write_text(json.dumps({**about, "files": {model.name: sha256(model)}}))
    with pytest.raises(ModelError, match=r"says nothing of v2\.bin"):
        checked_spec(model)
