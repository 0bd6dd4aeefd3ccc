"""Every format says what torch says, on real photos, whatever is asked to be inside."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from featherface.boxes import decode_boxes, decode_landmarks
from featherface.errors import ConfigError, DataError, FeatherFaceError, MissingExtraError, ModelError
from featherface.export import versions
from featherface.export.calibration import batches
from featherface.export.export import check, export_model
from featherface.export.int8 import layer_of_nodes, quantize
from featherface.export.options import FORMATS, Options, find_format, parse_size
from featherface.export.place import place
from featherface.export.portable import Decoded, Portable
from featherface.model import published
from featherface.priors import prior_boxes
from featherface.runtimes.card import card_path, sha256

NEEDS = {
    "onnx": (), "torchscript": (), "openvino": ("openvino",), "ncnn": ("ncnn", "pnnx"),
    "litert": ("litert_torch",), "executorch": ("executorch",), "coreml": ("coremltools",),
}  # fmt: skip
HEAVY = pytest.mark.slow
KINDS = [
    pytest.param("onnx", {"input_size": (64, 96), "with_nms": True}, id="onnx: one size, suppressed"),
    pytest.param("onnx", {}, id="onnx: any size", marks=HEAVY),
    pytest.param(
        "onnx", {"with_decode": True, "precision": "fp16"}, id="onnx: any size, decoded, half", marks=HEAVY
    ),
    pytest.param("openvino", {}, id="openvino: any size", marks=HEAVY),
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
    done = export_model(plain, "small", tmp_path, chosen, needs_faces=False)
    about = json.loads(done.card.read_text())
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


LIMITS = [
    pytest.param("litert", {}, "one input size", id="litert has no free size"),
    pytest.param("ncnn", {"with_nms": True}, "no suppression", id="ncnn has no suppression"),
    pytest.param("ncnn", {"with_decode": True}, "needs a fixed input size", id="ncnn decodes one size"),
    pytest.param("onnx", {"input_size": (100, 128)}, "multiples of 32", id="a side of 100"),
    pytest.param("coreml", {"input_size": (64, 64), "precision": "int8"}, "no int8", id="coreml int8"),
    pytest.param("torchscript", {"precision": "fp16"}, "no fp16", id="torchscript fp16"),
    pytest.param("onnx", {"precision": "int8"}, "--calibration", id="int8 without pictures"),
    pytest.param("onnx", {"calibration_images": 0}, "at least 1", id="no calibration pictures"),
    pytest.param("onnx", {"calibration": Path()}, "are for int8", id="pictures without int8"),
    pytest.param("onnx", {"float_layers": ()}, "are for int8", id="float layers without int8"),
]


GROUPS = [
    pytest.param("onnx", ("bogus",), "no group of layers 'bogus'; there are backbone.stage1", id="onnx"),
    pytest.param("openvino", ("neck", "bogus"), "no group of layers 'bogus'", id="openvino"),
    pytest.param("executorch", ("context.x",), "no group of layers 'context.x'", id="executorch"),
    pytest.param("litert", ("backbone.stage2",), "no group of layers 'backbone.stage2'", id="litert"),
    pytest.param("litert", ("context.0",), "no group of layers 'context.0'", id="litert: a level"),
    pytest.param("onnx", ("bogus.0",), "no group of layers 'bogus.0'", id="a part of no group"),
]


@pytest.mark.parametrize(("name", "groups", "reason"), GROUPS)
def test_layers_that_no_network_has_cannot_stay_float(name, groups, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason):
        Options(find_format(name), (64, 64), "int8", calibration=tmp_path, float_layers=groups)


@pytest.mark.parametrize(
    ("group", "there"), [("context.0", True), ("neck", True), ("context.7", False), ("shuffle", True)]
)
def test_layers_that_this_network_lacks_cannot_stay_float(group, there, plain, examples):
    options = Options(find_format("onnx"), precision="int8", calibration=examples, float_layers=(group,))
    if there:
        check(plain, options)
    else:
        with pytest.raises(ConfigError, match=f"small: has no layers '{group}'"):
            check(plain, options)


def test_the_groups_of_litert_are_those_it_can_tell_apart():
    from featherface.export.int8_litert import _NAMES
    from featherface.export.layers import LITERT_GROUPS

    assert tuple(_NAMES) == LITERT_GROUPS


def test_a_calibration_picture_that_cannot_be_read_is_skipped(examples, tmp_path):
    options = Options(find_format("onnx"), precision="int8", calibration=tmp_path)
    whole = (examples / "eileen_collins.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:5000])
    with pytest.raises(DataError, match="none of its pictures can be read"):
        list(batches(options))
    (tmp_path / "whole.jpg").write_bytes(whole)
    lines = []
    assert len(list(batches(options, lines.append))) == 1
    assert len(lines) == 1 and "cut.jpg" in lines[0]


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


@pytest.mark.parametrize(("name", "options", "reason"), LIMITS)
def test_what_a_format_cannot_do_is_said_at_once(name, options, reason):
    with pytest.raises(ConfigError, match=reason):
        Options(find_format(name), **options)


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if not kind.deformable])
def test_runtimes_without_deformable_convs_refuse_them(name, deformable, tmp_path):
    with pytest.raises(ConfigError, match="no deformable convolution"):
        export_model(deformable, "bent", tmp_path, Options(find_format(name), input_size=(64, 64)))
    assert list(tmp_path.iterdir()) == []


def test_int8_of_a_deformable_network_is_refused(deformable, tmp_path, examples):
    options = Options(find_format("onnx"), precision="int8", calibration=examples)
    with pytest.raises(ConfigError, match="deformable convolution in int8"):
        export_model(deformable, "bent", tmp_path, options)


@pytest.mark.parametrize("text", ["640", "640x", "ax640", "-64x64", "64x64x3", ""])
def test_input_sizes_that_are_none(text):
    with pytest.raises(ConfigError, match="HEIGHTxWIDTH"):
        parse_size(text)


def test_a_runtime_that_is_too_old_or_missing_is_named():
    installed = versions.installed("onnx", "no-such-package")
    assert list(installed) == ["onnx"]
    with pytest.raises(ModelError, match=r"onnx .* is installed; this needs 999\.0 or newer: pip install -U"):
        versions.require("onnx", "train", "999.0")
    with pytest.raises(MissingExtraError, match=r"pip install 'featherface\[ncnn\]'"):
        versions.require("no-such-package", "ncnn", "1.0")


def test_int8_leaves_the_named_layers_in_float(examples, tmp_path):
    weights = np.random.default_rng(0).normal(0, 0.01, (3, 3, 3, 3)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("Conv", ["images", "w0"], ["a"], name="backbone.stage1.0/0", pads=[1, 1, 1, 1]),
        onnx.helper.make_node("LeakyRelu", ["a"], ["b"], name="/1", alpha=0.1),
        onnx.helper.make_node("Conv", ["b", "w1"], ["c"], name="neck.one/2", pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Conv", ["c", "w2"], ["d"], name="heads.0.conv/3", pads=[1, 1, 1, 1]),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, "h", "w"])
        for name in ("images", "d")
    ]
    graph = onnx.helper.make_graph(
        nodes, "g", ends[:1], ends[1:], [onnx.numpy_helper.from_array(weights, f"w{i}") for i in range(3)]
    )
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    opsets = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), source)
    assert list(layer_of_nodes(graph).values()) == [
        "backbone.stage1.0", "backbone.stage1.0", "neck.one", "heads.0.conv"
    ]  # fmt: skip
    options = Options(find_format("onnx"), precision="int8", calibration=examples, calibration_images=2)
    for stays, expected in ((None, 1), (("heads",), 2), ((), 3)):
        quantize(source, target, replace(options, float_layers=stays))
        made = {value: node.op_type for node in onnx.load(target).graph.node for value in node.output}
        convs = [node for node in onnx.load(target).graph.node if node.op_type == "Conv"]
        assert sum(made.get(node.input[1]) == "DequantizeLinear" for node in convs) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_int8_finds_the_faces(name, v2, shared, tmp_path):
    if name == "openvino":
        pytest.importorskip("nncf")
    pictures = shared / "data" / "widerface" / "train"
    options = Options(find_format(name), precision="int8", calibration=pictures, calibration_images=20)
    done = export_model(v2, "v2", tmp_path, options)
    assert done.parity.matched > 0.9 * done.parity.faces
    if name == "onnx":
        assert done.size < 700_000


def test_replacing_an_option_checks_again():
    with pytest.raises(ConfigError):
        replace(Options(find_format("onnx")), input_size=(1, 1))
