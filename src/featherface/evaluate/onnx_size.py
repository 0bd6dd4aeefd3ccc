"""How many weights an ONNX file holds and how many multiply-adds it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from featherface.errors import MissingExtraError, ModelError

_WEIGHTED = {"Conv", "Gemm", "MatMul", "DeformConv", "ConvTranspose"}


def onnx_size(path: Path, height: int = 640, width: int = 640) -> tuple[int, int]:
    """Weights of convs and linears (biases included, batch norm folded in), and multiply-adds of one picture.

    The network is run once, for its shapes. Raises ModelError for a file that is not ONNX or does not run.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "evaluate") from error
    try:
        model = onnx.load(path)
        kernels = {t.name: tuple(t.dims) for t in model.graph.initializer}
        nodes = [n for n in model.graph.node if n.op_type in _WEIGHTED and n.input[1] in kernels]
        shapes = _run_for_shapes(model, [node.output[0] for node in nodes], height, width)
    except Exception as error:  # protobuf's and ONNX Runtime's errors share no public base class
        raise ModelError(f"{path}: not an ONNX model that runs ({error})") from error
    names = {name for node in nodes for name in node.input[1:] if name in kernels}
    operations = 0
    for node in nodes:
        kernel = kernels[node.input[1]]
        per_value = int(np.prod(kernel[1:])) if "Conv" in node.op_type else kernel[0]
        operations += int(np.prod(shapes[node.output[0]])) * per_value
    return sum(int(np.prod(kernels[name])) for name in names), operations


def _run_for_shapes(model: Any, names: list[str], height: int, width: int) -> dict[str, tuple[int, ...]]:
    """The shape of each of these values when one picture of this size goes through."""
    import onnx
    from onnxruntime import InferenceSession, SessionOptions

    free_size(model)
    given = {output.name for output in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name not in given
    )
    options = SessionOptions()
    options.log_severity_level = 4
    session = InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    images = np.zeros((1, 3, height, width), np.float32)
    values = session.run(names, {session.get_inputs()[0].name: images})
    return {name: value.shape for name, value in zip(names, values, strict=True)}


def free_size(model: Any) -> None:
    """Forget the shapes that the file states, so that it takes any height and width."""
    for number, dim in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        if number >= 2:
            dim.dim_param = "height" if number == 2 else "width"
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
