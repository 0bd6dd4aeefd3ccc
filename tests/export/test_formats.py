"""Every format says what torch says, on real photos, whatever is asked to be inside."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from featherface.boxes import decode_boxes, decode_landmarks
from featherface.errors import ConfigError, FeatherFaceError, MissingExtraError, ModelError
from featherface.export.export import export_model
from featherface.export.load import load_model
from featherface.export.options import FORMATS, Options, find_format
from featherface.export.place import place
from featherface.export.portable import Decoded, Portable
from featherface.model import published
from featherface.priors import prior_boxes
from featherface.runtimes.card import card_path, sha256

pytestmark = pytest.mark.long

NEEDS = {
    "onnx": (), "torchscript": (), "openvino": ("openvino",), "ncnn": ("ncnn", "pnnx"),
    "litert": ("litert_torch",), "executorch": ("executorch",), "coreml": ("coremltools",),
}  # fmt: skip
HEAVY = pytest.mark.slow
KINDS = [
    pytest.param("onnx", {"input_size": (320, 320), "with_nms": True}, id="onnx: one size, suppressed"),
    pytest.param("onnx", {}, id="onnx: any size", marks=HEAVY),
    pytest.param(
        "onnx", {"with_decode": True, "precision": "fp16"}, id="onnx: any size, decoded, half", marks=HEAVY
    ),
    pytest.param("openvino", {}, id="openvino: any size", marks=HEAVY),
    pytest.param(
        "openvino", {"input_size": (320, 320), "with_nms": True}, id="openvino: one size, suppressed"
    ),
    pytest.param("openvino", {"with_nms": True}, id="openvino: any size, suppressed", marks=HEAVY),
    pytest.param(
        "openvino",
        {"input_size": (128, 160), "precision": "fp16"},
        id="openvino: one size, half",
        marks=HEAVY,
    ),
    pytest.param("ncnn", {}, id="ncnn: any size"),
    pytest.param("ncnn", {"input_size": (128, 160), "with_decode": True}, id="ncnn: one size, decoded"),
    pytest.param("torchscript", {"with_decode": True}, id="torchscript: any size, decoded"),
    pytest.param("litert", {"input_size": (128, 160)}, id="litert", marks=HEAVY),
    pytest.param(
        "litert", {"input_size": (128, 160), "with_decode": True}, id="litert: decoded", marks=HEAVY
    ),
    pytest.param("executorch", {"input_size": (128, 160)}, id="executorch", marks=HEAVY),
    pytest.param("coreml", {"input_size": (128, 160)}, id="coreml: structure", marks=HEAVY),
]


@pytest.mark.parametrize(("name", "options"), KINDS)
def test_a_format_is_written_with_all_that_belongs_to_it(name, options, plain, tmp_path):
    for module in NEEDS[name]:
        pytest.importorskip(module, reason=f"{module} is not installed: see docs/deployment.md")
    chosen = Options(find_format(name), **options)
    # Suppression is checked by the faces that are left, so it needs a network that finds some.
    network = load_model("nano_b")[1] if chosen.with_nms else plain
    done = export_model(network, "small", tmp_path, chosen, needs_faces=chosen.with_nms)
    about = json.loads(done.card.read_text())
    if chosen.with_nms:
        assert about["parity"]["matched_at_iou_95"] == about["parity"]["faces"] > 5
    assert about["input"]["size"] == (None if chosen.input_size is None else list(chosen.input_size))
    assert {tmp_path / file for file in about["files"]} == {
        path for path in tmp_path.rglob("*") if path.is_file() and path not in (done.card, done.snippet)
    }
    assert all(sha256(tmp_path / file) == checksum for file, checksum in about["files"].items())
    if name != "coreml":
        assert about["parity"]["pictures"] == (2 if chosen.input_size is None else 1)
        assert max(about["parity"]["max_difference"].values(), default=0) < (
            1e-3 if chosen.precision == "fp32" else 2
        )
    example = done.snippet.read_text()
    assert done.model.name in example
    assert "@" not in example.replace("@Model", "")
    if done.snippet.suffix == ".py":
        compile(example, str(done.snippet), "exec")


@HEAVY
@pytest.mark.parametrize("name", FORMATS)
def test_the_small_one_goes_everywhere(name, tmp_path):
    """A pruned network is an ordinary one: its widths are no matter to any format."""
    for module in NEEDS[name]:
        pytest.importorskip(module, reason=f"{module} is not installed: see docs/deployment.md")
    named, network = load_model("nano_b")
    kind = find_format(name)
    done = export_model(network, named, tmp_path, Options(kind, (640, 640)))
    parity = json.loads(done.card.read_text())["parity"]
    if name != "coreml":  # which only Apple's machines run
        assert parity["matched_at_iou_95"] == parity["faces"] > 15
        assert max(parity["max_difference"].values()) < 1e-3


@HEAVY
def test_executorch_keeps_int8_weights_in_int8(examples, tmp_path):
    pytest.importorskip("executorch", reason="executorch is not installed: see docs/deployment.md")
    sizes, network = {}, load_model("nano_b")[1]
    for precision, more in (("fp32", {}), ("int8", {"calibration": examples})):
        chosen = Options(find_format("executorch"), (64, 64), precision, **more)
        sizes[precision] = export_model(network, "small", tmp_path, chosen, needs_faces=False).size
    assert sizes["int8"] < 0.8 * sizes["fp32"], "its quantizer wants to be asked about weights, too"


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=HEAVY) for name in ("onnx", "openvino")), "ncnn", "torchscript"]
)
def test_deformable_convs_are_exported_where_the_runtime_has_them(name, deformable, tmp_path):
    for module in NEEDS[name]:
        pytest.importorskip(module)
    done = export_model(deformable, "bent", tmp_path, Options(find_format(name)), needs_faces=False)
    assert max(done.parity.max_difference.values()) < 1e-3
    operators = {"onnx": b"DeformConv", "openvino": b"DeformableConvolution", "ncnn": b"DeformableConv2D"}
    assert name not in operators or operators[name] in done.model.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino", "ncnn"])
@pytest.mark.parametrize("source", ["published", "preset"])
def test_v1_is_exported_as_the_baseline(name, source, request, tmp_path):
    for module in NEEDS[name]:
        pytest.importorskip(module)
    if source == "published":
        path = request.getfixturevalue("shared") / "published" / "featherface_v1_489015.pth"
        network, faces = published.load(path), 10
    else:
        network, faces = request.getfixturevalue("untrained_v1"), 0
    done = export_model(network, "v1", tmp_path, Options(find_format(name)), needs_faces=faces > 0)
    assert done.parity.matched_at_iou_95 == done.parity.faces >= faces
    assert max(done.parity.max_difference.values()) < 1e-3


def test_decoding_inside_is_the_detectors_decoding(plain):
    images = torch.rand(2, 3, 64, 96) * 255
    network = Portable(plain)
    raw = network(images)
    priors = prior_boxes(64, 96, plain.config.strides, plain.config.prior_sizes)
    for size in ((64, 96), None):
        scores, boxes, landmarks = Decoded(network, plain.config, size)(images)
        assert torch.equal(scores, raw[0])
        for i in range(2):
            expected = decode_boxes(raw[1][i].numpy(), priors, plain.config.variances)
            np.testing.assert_allclose(boxes[i].numpy(), expected, rtol=1e-4, atol=1e-3)
            points = decode_landmarks(raw[2][i].numpy(), priors, plain.config.variances)
            np.testing.assert_allclose(landmarks[i].numpy(), points.reshape(-1, 10), rtol=1e-4, atol=1e-3)


def test_an_older_export_stays_when_the_new_one_fails(plain, tmp_path, monkeypatch):
    options = Options(find_format("torchscript"))
    done = export_model(plain, "small", tmp_path, options, needs_faces=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*_):
        raise ModelError("drifted")

    monkeypatch.setattr("featherface.export.export.compare", fail)
    with pytest.raises(ModelError):
        export_model(plain, "small", tmp_path, options, needs_faces=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert card_path(done.model).name in before


def test_a_folder_in_the_way_is_not_replaced(plain, tmp_path):
    theirs = tmp_path / "small.torchscript.pt"
    theirs.mkdir()
    (theirs / "letter.txt").write_text("mine")
    with pytest.raises(FeatherFaceError, match=r"small\.torchscript\.pt: is a folder, which is not replaced"):
        export_model(plain, "small", tmp_path, Options(find_format("torchscript")), needs_faces=False)
    assert [path.name for path in tmp_path.rglob("*")] == ["small.torchscript.pt", "letter.txt"]


def _made(folder, names, text):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(text)
    return [folder / name for name in names]


def test_files_are_placed_all_or_none(tmp_path, monkeypatch):
    names = ["net.xml", "net.bin", "net.xml.json"]
    _made(tmp_path, names[:2], "old")
    new = _made(tmp_path / "work", names, "new")
    honest = Path.replace

    def full(self, target):
        if self == new[1]:
            raise OSError("disk full")
        return honest(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        place(new, tmp_path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir() if p.is_file()} == dict.fromkeys(
        names[:2], "old"
    )
    monkeypatch.undo()
    place(_made(tmp_path / "again", names, "new"), tmp_path)
    assert {p.name: p.read_text() for p in tmp_path.iterdir() if p.is_file()} == dict.fromkeys(names, "new")


def test_only_an_older_package_is_a_folder_that_is_replaced(tmp_path):
    for folder, text in ((tmp_path, "old"), (tmp_path / "work", "new")):
        folder.mkdir(exist_ok=True)
        _made(folder / "net.mlpackage", ["Manifest.json"], text)
    place([tmp_path / "work" / "net.mlpackage"], tmp_path)
    assert (tmp_path / "net.mlpackage" / "Manifest.json").read_text() == "new"
    (tmp_path / "net.mlpackage" / "Manifest.json").unlink()
    _made(tmp_path / "next", ["net.mlpackage"], "x")
    with pytest.raises(FeatherFaceError, match="is a folder"):
        place([tmp_path / "next" / "net.mlpackage"], tmp_path)


def test_a_package_that_the_converter_imports_is_named_when_missing(plain, tmp_path, monkeypatch):
    for module in ("onnx_variants", "onnx_graph", "onnx", "int8"):
        monkeypatch.delitem(sys.modules, f"featherface.export.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "onnxslim", None)
    with pytest.raises(MissingExtraError, match=r"onnxslim is not installed.*featherface\[train\]"):
        export_model(plain, "small", tmp_path, Options(find_format("onnx")))


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if not kind.deformable])
def test_runtimes_without_deformable_convs_refuse_them(name, deformable, tmp_path):
    with pytest.raises(ConfigError, match="no deformable convolution"):
        export_model(deformable, "bent", tmp_path, Options(find_format(name), input_size=(64, 64)))
    assert list(tmp_path.iterdir()) == []
