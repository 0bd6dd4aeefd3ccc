"""How many weights an ONNX file holds and how many multiply-adds it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from featherface.errors import MissingExtraError, ModelError

_WEIGHTED = {"Conv", "Gemm", "MatMul", "DeformConv", "ConvTranspose"}


def onnx_size(path: Path, height: int = 640, width: int = 640) -> tuple[int, int]:
    """Weights of convs and linears (biases included, batch norm folded in), and multiply-adds of one picture.

    Raises ModelError for a file that is not ONNX.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "evaluate") from error
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf's errors share no public base class
        raise ModelError(f"{path}: not a readable ONNX model") from error
    graph = fixed_graph(model, height, width)
    sizes = {t.name: int(np.prod(t.dims)) for t in graph.initializer}
    shapes = {v.name: _shape(v) for v in [*graph.value_info, *graph.output]}
    dims = {t.name: list(t.dims) for t in graph.initializer}
    weights = {name for node in graph.node if node.op_type in _WEIGHTED for name in node.input[1:] if name in sizes}
    operations = 0
    for node in graph.node:
        if node.op_type in _WEIGHTED and len(node.input) > 1 and node.input[1] in dims:
            kernel, out = dims[node.input[1]], shapes.get(node.output[0], [])
            per_value = np.prod(kernel[1:]) if "Conv" in node.op_type else kernel[0]
            operations += int(np.prod(out) * per_value)
    return sum(sizes[name] for name in weights), operations


def fixed_graph(model: Any, height: int, width: int) -> Any:
    """The graph with all shapes worked out for one picture of this size; shapes left in the file are forgotten."""
    import onnx

    for value, size in zip(model.graph.input[0].type.tensor_type.shape.dim, (1, 3, height, width), strict=True):
        value.dim_value = size
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(model, data_prop=True).graph


def _shape(value: Any) -> list[int]:
    return [d.dim_value for d in value.type.tensor_type.shape.dim]
