"""Parameters and multiply-adds of a file, worked out by hand for every kind of layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")
from onnx import TensorProto, helper

from featherface.errors import ModelError
from featherface.evaluate.onnx_size import onnx_size
from featherface.model import build, preset
from featherface.model.fold import folded
from featherface.model.summary import summarise
from featherface.zoo import find_model


def test_multiply_adds_are_those_of_the_torch_network():
    """The file has the convs that the summary counts, and the few 1x1 ones that the export adds."""
    _, operations = onnx_size(Path(find_model("v2")))
    counted = sum(part.multiply_adds for part in summarise(folded(build(preset("v2")))))
    assert counted <= operations < 1.1 * counted


def test_sizes_by_hand(tmp_path):
    weight = helper.make_tensor("w", TensorProto.FLOAT, [8, 3, 3, 3], [0.0] * 216)
    bias = helper.make_tensor("b", TensorProto.FLOAT, [8], [0.0] * 8)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 32, 32])
    graph = helper.make_graph([node], "g", [x], [y], [weight, bias])
    file = tmp_path / "conv.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), file)
    assert onnx_size(file) == (224, 8 * 27 * 320 * 320), "at 640x640, though the file says 64x64"


def floats(name, shape):
    return helper.make_tensor(name, TensorProto.FLOAT, shape, [0.0] * int(np.prod(shape)))


def halves(name, shape):
    return helper.make_tensor(name, TensorProto.FLOAT16, shape, [0.0] * int(np.prod(shape)))


def bytes_(name, shape):
    return helper.make_tensor(name, TensorProto.INT8, shape, [0] * int(np.prod(shape)))


CONV = ["x", "w", "b"], {"pads": [1, 1, 1, 1]}
POOL = ("GlobalAveragePool", ["x"], {}, "p"), ("Flatten", ["p"], {}, "f")
SCALE, OTHER_SCALE = (
    helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("scale", 0.5), ("other", 2))
)


@pytest.mark.parametrize(
    ("nodes", "stored", "expected"),
    [
        pytest.param(
            [("Conv", *CONV)],
            [floats("w", [8, 3, 3, 3]), floats("b", [8])],
            (224, 8 * 27 * 640 * 640),
            id="float",
        ),
        pytest.param(
            [("Cast", ["h"], {"to": TensorProto.FLOAT}, "w"), ("Conv", *CONV)],
            [halves("h", [8, 3, 3, 3]), floats("b", [8])],
            (224, 8 * 27 * 640 * 640),
            id="fp16 weights behind Cast",
        ),
        pytest.param(
            [("DequantizeLinear", ["q", "scale"], {}, "w"), ("Conv", *CONV)],
            [bytes_("q", [8, 3, 3, 3]), SCALE, floats("b", [8])],
            (224, 8 * 27 * 640 * 640),
            id="int8 weights behind DequantizeLinear",
        ),
        pytest.param(
            [
                ("DequantizeLinear", ["q", "scale"], {}, "first"),
                ("DequantizeLinear", ["q", "other"], {}, "second"),
                ("Conv", ["x", "first"], {"group": 3}, "z"),
                ("Conv", ["z", "second"], {"group": 3}),
            ],
            [bytes_("q", [3, 1, 1, 1]), SCALE, OTHER_SCALE],
            (6, 2 * 3 * 640 * 640),
            id="int8 weights that differ in their scales only",
        ),
        pytest.param(
            [("ConvTranspose", ["x", "w"], {"strides": [2, 2]})],
            [floats("w", [3, 5, 2, 2])],
            (60, 3 * 640 * 640 * 5 * 4),
            id="a transposed conv takes its kernel per value that goes in",
        ),
        pytest.param(
            [*POOL, ("Gemm", ["f", "w"], {"transB": 1})],
            [floats("w", [7, 3])],
            (21, 21),
            id="Gemm, outputs first",
        ),
        pytest.param(
            [*POOL, ("Gemm", ["f", "w"], {})],
            [floats("w", [3, 7])],
            (21, 21),
            id="Gemm, inputs first",
        ),
        pytest.param(
            [*POOL, ("Transpose", ["t"], {"perm": [1, 0]}, "w"), ("MatMul", ["f", "w"], {})],
            [floats("t", [7, 3])],
            (21, 21),
            id="MatMul behind Transpose",
        ),
    ],
)
def test_every_precision_and_layer_is_counted(tmp_path, nodes, stored, expected):
    made = [
        helper.make_node(kind, inputs, list(out) or ["y"], **settings)
        for kind, inputs, settings, *out in nodes
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(made, "g", [x], [y], stored)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / "m.onnx",
    )
    assert onnx_size(tmp_path / "m.onnx") == expected


def test_a_file_that_is_no_network_is_named(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"no\.onnx: not an ONNX model"):
        onnx_size(tmp_path / "no.onnx")
