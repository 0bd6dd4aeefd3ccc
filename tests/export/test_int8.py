"""int8: what is calibrated on, what stays float, what ONNX Runtime gets."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace

import cv2
import numpy as np
import onnx.utils
import onnxruntime
import pytest
import torch

from featherface.boxes import decode_boxes, decode_landmarks
from featherface.errors import ConfigError, DataError
from featherface.export.calibration import batches
from featherface.export.check import PHOTO
from featherface.export.export import export_model
from featherface.export.int8 import layer_of_nodes, quantize, sensitivity
from featherface.export.layers import layer_name
from featherface.export.load import load_model
from featherface.export.onnx import trace_onnx
from featherface.export.options import Options, find_format
from featherface.export.portable import DECODED_OUTPUTS, RAW_OUTPUTS, Decoded
from featherface.export.reference import Reference
from featherface.images import read_image, resize, to_input
from featherface.priors import prior_boxes


def test_the_groups_of_litert_are_those_it_can_tell_apart():
    from featherface.export.int8_litert import _NAMES
    from featherface.export.layers import LITERT_GROUPS

    assert tuple(_NAMES) == LITERT_GROUPS


LITERT = "featherface.export.portable."
ENDS = [
    pytest.param(f"{LITERT}Portable;13", True, id="a level's deltas"),
    pytest.param("serving_default_output_1_output", True, id="an output"),
    pytest.param(f"{LITERT}Decoded/{LITERT}Portable_network;24", True, id="deltas, decoded behind"),
    pytest.param(f"{LITERT}Decoded;12", True, id="a box"),
    pytest.param(f"{LITERT}Decoded;", True, id="a box, the first"),
    pytest.param(f"{LITERT}Portable/torch.nn.modules.conv.Conv2d_boxes;6", False, id="a conv"),
    pytest.param(
        f"{LITERT}Decoded/{LITERT}Portable_network/torch.nn.modules.conv.Conv2d_boxes;6",
        False,
        id="a conv, decoded behind",
    ),
]


@pytest.mark.parametrize(("name", "end"), ENDS)
def test_litert_rounds_neither_deltas_nor_boxes(name, end):
    """Names as litert-torch 0.10 gives them; no other way to tell its layers apart."""
    from featherface.export.int8_litert import _ENDS

    assert bool(re.search(_ENDS, name)) is end


LAYERS = [
    pytest.param("backbone.stage1.0.0", "backbone.stage1.0.0", id="as it is"),
    pytest.param("network.heads.0.conv", "heads.0.conv", id="in a part around it"),
    pytest.param("network.network.neck.cells.0.p3", "neck.cells.0.p3", id="decoded behind"),
]


@pytest.mark.parametrize(("exported", "layer"), LAYERS)
def test_layers_are_known_whatever_stands_around_the_network(exported, layer):
    assert layer_name(exported) == layer


@pytest.mark.parametrize(
    ("pictures", "low", "high"),
    [
        pytest.param([(-1, 4)], -1, 4, id="one picture"),
        pytest.param([(-1, 4), (-3, 2)], -2.5, 3.5, id="means of -2 and 3, largest of -3 and 4"),
        pytest.param([(0, 1), (0, 1), (0, 1), (0, 9)], 0, 6, id="one far out is met halfway"),
        pytest.param([(-2, 2)] * 3, -2, 2, id="the same each time"),
    ],
)
def test_ranges_of_litert_lie_between_the_mean_and_the_largest(pictures, low, high):
    from featherface.export.int8_litert import halfway

    extremes = [
        {"conv": {"min": np.full((1, 1), least), "max": np.full((1, 1), most)}} for least, most in pictures
    ]
    found = halfway(extremes)["conv"]
    np.testing.assert_allclose(found["min"], [[low]])
    np.testing.assert_allclose(found["max"], [[high]])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "module"), [("litert", "litert_torch"), ("executorch", "executorch")])
def test_int8_of_one_size_decodes_as_the_detector_does(name, module, examples, tmp_path):
    pytest.importorskip(module, reason=f"{module} is not installed: see docs/deployment.md")
    _decodes_alike(name, (320, 320), examples, tmp_path)


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


def test_int8_of_a_deformable_network_is_refused(deformable, tmp_path, examples):
    options = Options(find_format("onnx"), precision="int8", calibration=examples)
    with pytest.raises(ConfigError, match="deformable convolution in int8"):
        export_model(deformable, "bent", tmp_path, options)


@pytest.fixture
def three_convs(tmp_path):
    """A float file to quantize: a conv of the backbone, one of the neck, one of a head."""
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
    source = tmp_path / "float.onnx"
    opsets = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), source)
    return source


def test_int8_leaves_the_named_layers_in_float(three_convs, examples, tmp_path):
    target = tmp_path / "int8.onnx"
    assert list(layer_of_nodes(onnx.load(three_convs).graph).values()) == [
        "backbone.stage1.0", "backbone.stage1.0", "neck.one", "heads.0.conv"
    ]  # fmt: skip
    options = Options(find_format("onnx"), precision="int8", calibration=examples, calibration_images=2)
    for stays, expected in ((None, 1), (("heads",), 2), ((), 3)):
        quantize(three_convs, target, replace(options, float_layers=stays))
        made = {value: node.op_type for node in onnx.load(target).graph.node for value in node.output}
        convs = [node for node in onnx.load(target).graph.node if node.op_type == "Conv"]
        assert sum(made.get(node.input[1]) == "DequantizeLinear" for node in convs) == expected


def test_one_picture_does_not_make_the_steps_of_all_coarse(three_convs, tmp_path):
    """The range of a map is the mean of what the pictures reach, not the most that any does."""

    def step(*names):
        folder = tmp_path / "-".join(names)
        folder.mkdir()
        for name in names:
            contrast = {"faint": 4, "glaring": 127}[name]
            rng = np.random.default_rng(0)
            pixels = rng.integers(128 - contrast, 128 + contrast, (64, 64, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / f"{name}.png"), pixels)
        options = Options(find_format("onnx"), precision="int8", calibration=folder, float_layers=())
        quantize(three_convs, tmp_path / "int8.onnx", options)
        tensors = onnx.load(tmp_path / "int8.onnx").graph.initializer
        return float(next(onnx.numpy_helper.to_array(t) for t in tensors if t.name == "c_scale"))

    faint, glaring = step("faint"), step("glaring")
    assert glaring > 1.5 * faint
    assert step("faint", "glaring") == pytest.approx((faint + glaring) / 2, rel=1e-3)


class _Stub(torch.nn.Module):
    """Three levels of one conv each, whose deltas are as large as a network's."""

    def __init__(self, strides):
        super().__init__()
        torch.manual_seed(0)
        self.levels = torch.nn.ModuleList(torch.nn.Conv2d(3, 30, stride, stride) for stride in strides)

    def forward(self, images):
        parts = [
            conv((images - 118) / 128).permute(0, 2, 3, 1).reshape(images.shape[0], -1, 15)
            for conv in self.levels
        ]
        scores, boxes, landmarks = torch.split(torch.cat(parts, 1), [1, 4, 10], dim=2)
        return torch.sigmoid(scores.squeeze(2)), boxes, landmarks


@pytest.mark.long
@pytest.mark.parametrize("size", [(224, 160), (1088, 1920)], ids=["as calibrated", "larger than calibrated"])
def test_decoding_inside_is_not_rounded(size, plain, decoding_int8):
    """Not even with every layer in int8, nor where priors lie beyond all that the calibration pictures have."""
    images = np.random.default_rng(0).integers(0, 256, (1, 3, *size)).astype(np.float32)
    session = onnxruntime.InferenceSession(decoding_int8, providers=["CPUExecutionProvider"])
    boxes, landmarks, box_deltas, landmark_deltas = (
        values[0]
        for values in session.run(["boxes", "landmarks", "box_deltas", "landmark_deltas"], {"images": images})
    )
    layout = plain.config
    priors = prior_boxes(*size, layout.strides, layout.prior_sizes)
    assert np.ptp(box_deltas) > 1, "nothing to decode"
    np.testing.assert_allclose(boxes, decode_boxes(box_deltas, priors, layout.variances), atol=0.01)
    points = decode_landmarks(landmark_deltas, priors, layout.variances)
    np.testing.assert_allclose(landmarks, points.reshape(-1, 10), atol=0.01)


@pytest.fixture(scope="module")
def decoding_int8(plain, examples, tmp_path_factory):
    """An int8 file of any size that decodes, with the deltas as outputs besides."""
    folder = tmp_path_factory.mktemp("int8")
    decoded = Decoded(_Stub(plain.config.strides), plain.config, None, keep_deltas=True).eval()
    graph = trace_onnx(decoded, (*DECODED_OUTPUTS, *RAW_OUTPUTS[1:]))
    for i, node in enumerate(graph.graph.node):
        node.name = f"{node.name}/{i}"
    onnx.save(graph, folder / "float.onnx")
    options = Options(find_format("onnx"), None, "int8", True, False, examples, 2, float_layers=())
    quantize(folder / "float.onnx", folder / "int8.onnx", options)
    made = {
        value: node.op_type for node in onnx.load(folder / "int8.onnx").graph.node for value in node.output
    }
    assert list(made.values()).count("DequantizeLinear") > 3, "nothing is in int8"
    return folder / "int8.onnx"


@pytest.mark.long
def test_sensitivity_measures_each_group_alone(examples, monkeypatch):
    """Nano-B itself, its distance from torch in place of AP: what is in float is nearer, and all of it nearest."""
    monkeypatch.setattr(
        "featherface.export.int8.GROUPS", ("neck", "heads")
    )  # two of nine, for the time it takes
    network = load_model("nano_b")[1]
    options = Options(find_format("onnx"), (160, 160), "int8", calibration=examples, calibration_images=3)
    reference = Reference(network, options)
    (images,) = reference.inputs([PHOTO])[:1]
    expected = reference.run(images)[0]

    def measure(session):
        return {"all": 1 - float(np.abs(session.run(images)[0] - expected[0]).max())}

    seen = []
    rows = sensitivity(network, options, measure, seen.append)
    assert seen == rows
    assert [row.group for row in rows][:2] == ["all float", "all int8"]
    groups = {row.group: row for row in rows[2:]}
    assert set(groups) == {"neck", "heads"}
    whole, int8 = rows[0].ap["all"], rows[1].ap["all"]
    assert whole > 0.999 > int8
    assert rows[0].lost == {} and rows[1].lost["all"] == pytest.approx(whole - int8)
    for row in groups.values():
        assert row.lost["all"] == pytest.approx(row.ap["all"] - int8)
    assert groups["heads"].lost["all"] > 0, "the scores themselves are not rounded then"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_int8_decodes_as_the_detector_does(name, examples, tmp_path):
    pytest.importorskip(name)
    _decodes_alike(name, None, examples, tmp_path)


def _decodes_alike(name, size, calibration, folder):
    """Nano-B, on a picture larger than those of the calibration where its size is free."""
    module = {"onnx": "onnx_variants"}.get(name, name)
    converter = importlib.import_module(f"featherface.export.{module}")
    network, found = load_model("nano_b")[1], {}
    picture, side = read_image(PHOTO), 1152 if size is None else size[1]
    images = to_input(resize(picture, side, side * picture.shape[0] // picture.shape[1]), 32, size)
    for decode in (False, True):
        options = Options(
            find_format(name), size, "int8", decode, calibration=calibration, calibration_images=3
        )
        done = export_model(network, "nano_b", folder, options)
        found[decode] = converter.runner(done.model, options)(images)
    (scores, deltas, _), layout = found[False], network.config
    priors = prior_boxes(*images.shape[2:], layout.strides, layout.prior_sizes)
    boxes = decode_boxes(deltas[0], priors, layout.variances)
    assert (scores[0] > 0.3).sum() > 20
    assert min(len(np.unique(values)) for values in found[False]) > 256, "what comes out is rounded"
    np.testing.assert_allclose(found[True][1][0], boxes, atol=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_int8_finds_the_faces(name, v2, shared, tmp_path):
    pytest.importorskip(name)
    pictures = shared / "data" / "widerface" / "train"
    options = Options(find_format(name), precision="int8", calibration=pictures, calibration_images=20)
    done = export_model(v2, "v2", tmp_path, options)
    assert done.parity.matched > 0.9 * done.parity.faces
    assert done.size < 700_000
    if name == "openvino":
        _reads_attention_as_onnx_runtime_does(onnx.load(done.model))


def _reads_attention_as_onnx_runtime_does(graph):
    """The conv of each spatial attention: from maps with a sign OpenVINO 2026.4 works it out wrongly."""
    import openvino

    picture = resize(read_image(PHOTO), 320, 320)[None]
    seven = [node for node in graph.graph.node if node.op_type == "Conv" and _kernel(node) == [7, 7]]
    assert len(seven) == 3
    core, extractor = openvino.Core(), onnx.utils.Extractor(graph)
    for conv in seven:
        file = extractor.extract_model(["images"], [conv.output[0]]).SerializeToString()
        network = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        (found,) = network([picture]).values()
        (expected,) = onnxruntime.InferenceSession(file).run(None, {"images": picture})
        assert np.abs(found - expected).mean() < 0.05 * expected.std()


def _kernel(node):
    return next(list(a.ints) for a in node.attribute if a.name == "kernel_shape")
