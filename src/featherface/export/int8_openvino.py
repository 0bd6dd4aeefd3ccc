"""Static int8 for OpenVINO: our own placement of the roundings, written as ONNX (QDQ), which it reads as it does IR.

The same network takes as long from either, but in IR two fifths of the bytes were XML. Pictures go in as they lie
in memory, (B, H, W, 3) in uint8: no pass to round floats, none to turn them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxscript import opset20
from torch import Tensor, nn

from featherface.export.calibration import batches
from featherface.export.fake_quant import calibrate
from featherface.export.onnx import trace_onnx
from featherface.export.onnx_graph import save, share_constants
from featherface.export.options import Options
from featherface.export.portable import DECODED_OUTPUTS, RAW_OUTPUTS, Decoded
from featherface.export.quantized import QuantizedNetwork
from featherface.model.network import FeatherFace


def convert_int8(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the ONNX file, with suppression inside when asked."""
    outputs = DECODED_OUTPUTS if options.decodes else RAW_OUTPUTS
    network = _OfPictures(_calibrated(model, options)).eval()
    graph = trace_onnx(network, outputs, options.input_size, as_bytes=True, translations=_TRANSLATIONS)
    _store_integers(graph.graph)
    _read_integers(graph.graph)
    share_constants(graph.graph)
    save(graph, model, target, options)


def _calibrated(model: FeatherFace, options: Options) -> nn.Module:
    """The network with its ranges measured and, when asked, decoding inside."""
    # Many small operations become one kernel only where all sizes are known.
    network = QuantizedNetwork(model, options.stays_float, cheap_swish=options.input_size is not None)
    calibrate(network, batches(options))
    return Decoded(network, model.config, options.input_size).eval() if options.decodes else network


class _OfPictures(nn.Module):
    """A network that takes pictures (B, H, W, 3) in uint8."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        return self.network(images.float().permute(0, 3, 1, 2))


_OPERATORS: Any = opset20  # whose types are of values that are there, not of a graph that is being made


def _map_to_onnx(x: Any, scale: float, zero: int, least: int, most: int) -> Any:
    kind = TensorProto.UINT8 if least == 0 else TensorProto.INT8
    step = _OPERATORS.Constant(value_float=scale)
    nothing = _OPERATORS.Constant(value=helper.make_tensor("zero", kind, (), [zero]))
    rounded = _OPERATORS.QuantizeLinear(x, step, nothing)
    return _OPERATORS.DequantizeLinear(rounded, step, *([nothing] if zero else []))


def _weights_to_onnx(weight: Any, steps: Any) -> Any:
    """Of float weights still: `_store_integers` rounds them."""
    return _OPERATORS.DequantizeLinear(_OPERATORS.QuantizeLinear(weight, steps, axis=0), steps, axis=0)


_TRANSLATIONS: Mapping[Any, Any] = {
    torch.ops.featherface.round_map.default: _map_to_onnx,
    torch.ops.featherface.round_weights.default: _weights_to_onnx,
}


def _store_integers(graph: onnx.GraphProto) -> None:
    """Weights as the integers that they are rounded to; in place."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type != "QuantizeLinear" or node.input[0] not in stored:
            continue
        weight, steps = (numpy_helper.to_array(stored[name]) for name in node.input[:2])
        rounded = np.rint(weight / steps.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8)
        graph.initializer.append(numpy_helper.from_array(rounded, node.output[0]))
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _read_integers(graph: onnx.GraphProto) -> None:
    """Pixels as steps of size 1, in which form OpenVINO gives them to an int8 conv; in place."""
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.float32), "pixel"))
    images = graph.input[0].name  # sizes that are free are read from it, too
    (cast,) = (node for node in graph.node if node.op_type == "Cast" and node.input[0] == images)
    cast.CopyFrom(helper.make_node("DequantizeLinear", [images, "pixel"], list(cast.output)))
