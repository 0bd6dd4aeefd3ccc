"""int8: what is calibrated on, what stays float, what ONNX Runtime gets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from featherface.errors import ConfigError, DataError
from featherface.export.calibration import batches
from featherface.export.export import export_model
from featherface.export.int8 import layer_of_nodes, quantize
from featherface.export.options import Options, find_format


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


def test_int8_of_a_deformable_network_is_refused(deformable, tmp_path, examples):
    options = Options(find_format("onnx"), precision="int8", calibration=examples)
    with pytest.raises(ConfigError, match="deformable convolution in int8"):
        export_model(deformable, "bent", tmp_path, options)


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
        pytest.importorskip("openvino")
    pictures = shared / "data" / "widerface" / "train"
    options = Options(find_format(name), precision="int8", calibration=pictures, calibration_images=20)
    done = export_model(v2, "v2", tmp_path, options)
    assert done.parity.matched > 0.9 * done.parity.faces
    if name == "onnx":
        assert done.size < 700_000
