"""How many weights an ONNX file holds and how many multiply-adds it takes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from featherface.errors import MissingExtraError, ModelError

_WEIGHTED = {"Conv", "Gemm", "MatMul", "DeformConv", "ConvTranspose"}
_SAME_SHAPE = {"Cast", "DequantizeLinear", "QuantizeLinear", "Identity"}
"""What stands between stored weights and the layer in files of less precision."""

_Shape = tuple[int, ...]


def onnx_size(path: Path, height: int = 640, width: int = 640) -> tuple[int, int]:
    """Weights of convs and linears (biases included, batch norm folded in), and multiply-adds of one picture.

    The same for a network in float, fp16 and int8 (QDQ). The network is run once, for its shapes. Raises ModelError
    for a file that is not ONNX or does not run.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "evaluate") from error
    try:
        model = onnx.load(path)
        stored = _Stored(model.graph)
        layers = [
            (node, [stored.find(name) for name in node.input])
            for node in model.graph.node
            if node.op_type in _WEIGHTED and any(map(stored.find, node.input[:2]))
        ]
        # A transposed conv takes one multiplication per value that goes in and per kernel value, not per value out.
        counted = [n.input[0] if n.op_type == "ConvTranspose" else n.output[0] for n, _ in layers]
        shapes = _run_for_shapes(model, sorted({*counted}), height, width)
    except Exception as error:  # protobuf's and ONNX Runtime's errors share no public base class
        raise ModelError(f"{path}: not an ONNX model that runs ({error})") from error
    weights = {found for _, inputs in layers for found in inputs if found}
    operations = sum(
        prod(shapes[value]) * _per_value(node, [found[1] if found else None for found in inputs])
        for (node, inputs), value in zip(layers, counted, strict=True)
    )
    return sum(prod(shape) for _, shape in weights), operations


def _per_value(node: Any, shapes: Sequence[_Shape | None]) -> int:
    """Multiply-adds per value that comes out (goes in, for ConvTranspose)."""
    first, second = shapes[:2]
    if second is None:
        assert first is not None
        across = [a.i for a in node.attribute if a.name == "transA"] == [1]
        return first[-2] if across else first[-1]
    if node.op_type in ("Gemm", "MatMul"):
        across = [a.i for a in node.attribute if a.name == "transB"] == [1]
        return second[-1] if across or len(second) == 1 else second[-2]
    return prod(second[1:])


class _Stored:
    """The values of a graph that are stored in it, by the name a layer knows them under."""

    def __init__(self, graph: Any) -> None:
        self.shapes: dict[str, _Shape] = {t.name: tuple(t.dims) for t in graph.initializer}
        self.makers = {name: node for node in graph.node for name in node.output}
        for name, node in self.makers.items():
            for attribute in node.attribute if node.op_type == "Constant" else ():
                if attribute.name == "value":
                    self.shapes[name] = tuple(attribute.t.dims)

    def find(self, name: str) -> tuple[str, _Shape] | None:
        """Where a value is stored, and the shape it has here; None when it is computed from the picture."""
        if name in self.shapes:
            return name, self.shapes[name]
        node = self.makers.get(name)
        if node is None or node.op_type not in {*_SAME_SHAPE, "Transpose"}:
            return None
        found = self.find(node.input[0])
        if found is None:
            return None
        if node.op_type == "DequantizeLinear":
            # Different weights may be stored once where only their scales tell them apart.
            return f"{found[0]} * {node.input[1]}", found[1]
        if node.op_type in _SAME_SHAPE:
            return found
        order = [list(a.ints) for a in node.attribute if a.name == "perm"]
        return found[0], tuple(found[1][i] for i in order[0]) if order else found[1][::-1]


def _run_for_shapes(model: Any, names: list[str], height: int, width: int) -> dict[str, _Shape]:
    """The shape of each of these values when one picture of this size goes through."""
    import onnx
    from onnxruntime import InferenceSession, SessionOptions

    free_size(model)
    given = {output.name for output in model.graph.output}
    # Without a type: ONNX Runtime knows it, and in an fp16 file it is not the same everywhere.
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in names if name not in {*given, model.graph.input[0].name}
    )
    options = SessionOptions()
    options.log_severity_level = 4
    session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    picture = session.get_inputs()[0]
    kind = np.float16 if picture.type == "tensor(float16)" else np.float32
    # The names may hold that of the picture itself, which no run gives back.
    asked = [name for name in names if name != picture.name]
    images = np.zeros((1, 3, height, width), kind)
    values = session.run(asked, {picture.name: images}) if asked else []  # asked for none, it would give all
    shapes = {name: value.shape for name, value in zip(asked, values, strict=True)}
    return {picture.name: (1, 3, height, width), **shapes}


def free_size(model: Any) -> None:
    """Forget the shapes that the file states, so that it takes any height and width."""
    for number, dim in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        if number >= 2:
            dim.dim_param = "height" if number == 2 else "width"
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
