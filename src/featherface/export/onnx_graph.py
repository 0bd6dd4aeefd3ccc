"""ONNX graphs beyond the plain one: one input size, decoding and suppression inside, half-size weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from featherface.export.deform import with_deform_operator
from featherface.export.deploy import Deployed
from featherface.export.onnx import describe, trace_onnx
from featherface.export.options import Options
from featherface.export.portable import DECODED_OUTPUTS, RAW_OUTPUTS, Decoded
from featherface.model.network import FeatherFace

_SMALL = 256


def build(model: FeatherFace, options: Options, keep_deltas: bool = False) -> onnx.ModelProto:
    """The graph that these options ask for, in float.

    With `keep_deltas` one that decodes puts out `box_deltas` and `landmark_deltas` behind the rest, and does not
    suppress yet: quantization has to know where the network ends.
    """
    network = with_deform_operator(Deployed(model).eval())
    outputs = RAW_OUTPUTS
    if options.decodes:
        network = Decoded(network, model.config, options.input_size, keep_deltas).eval()
        outputs = (*DECODED_OUTPUTS, *(RAW_OUTPUTS[1:] if keep_deltas else ()))
    graph = trace_onnx(network, outputs, options.input_size)
    describe(graph, model, model.config.name)
    if options.with_nms and not keep_deltas:
        add_nms(graph.graph, options)
    if options.precision == "fp16":
        halve_weights(graph.graph)
    onnx.checker.check_model(graph)
    return graph


def save(graph: onnx.ModelProto, model: FeatherFace, target: Path, options: Options) -> None:
    """Write a quantized graph, described, with suppression behind it when asked."""
    describe(graph, model, model.config.name)
    if options.with_nms:
        add_nms(graph.graph, options)
    onnx.checker.check_model(graph)
    onnx.save(graph, target)


def add_nms(graph: onnx.GraphProto, options: Options) -> None:
    """Suppress behind a graph that decodes one picture: `scores (N,)`, `boxes (N, 4)`, `landmarks (N, 10)`."""
    for output in graph.output:
        inner = f"all_{output.name}"
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [inner if name == output.name else name for name in names]
    constants: dict[str, NDArray[Any]] = {
        "nms_axis_0": np.array([0], np.int64),
        "nms_axis_1": np.array([1], np.int64),
        "nms_last": np.array(2, np.int64),
        "nms_most": np.array([options.max_detections], np.int64),
        "nms_iou": np.array([options.iou_threshold], np.float32),
        "nms_score": np.array([options.score_threshold], np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.node.append(helper.make_node("Unsqueeze", ["all_scores", "nms_axis_1"], ["nms_scores"]))
    inputs = ["all_boxes", "nms_scores", "nms_most", "nms_iou", "nms_score"]
    graph.node.append(helper.make_node("NonMaxSuppression", inputs, ["nms_triples"]))
    graph.node.append(helper.make_node("Gather", ["nms_triples", "nms_last"], ["nms_kept"], axis=1))
    for name in DECODED_OUTPUTS:
        graph.node.append(helper.make_node("Squeeze", [f"all_{name}", "nms_axis_0"], [f"one_{name}"]))
        graph.node.append(helper.make_node("Gather", [f"one_{name}", "nms_kept"], [name], axis=0))
    graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    del graph.output[:]
    for name, width in zip(DECODED_OUTPUTS, ([], [4], [10]), strict=True):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["faces", *width]))


def halve_weights(graph: onnx.GraphProto) -> None:
    """Store weights as float16; the runtime widens them once, when it loads the file.

    Vectors stay: biases are small, and the scales of int8 weights have to be constants where they are read.
    """
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or np.prod(tensor.dims) < _SMALL:
            continue
        name, wide = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(wide.astype(np.float16), f"{name}_half"))
        graph.node.insert(0, helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))


def share_constants(graph: onnx.GraphProto) -> None:
    """Keep one of equal constants: every channel of every conv comes with a zero point and a scale."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    known_as: dict[str, str] = {}
    for tensor in graph.initializer:
        content = (tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes())
        known_as[tensor.name] = first.setdefault(content, tensor.name)
    for node in graph.node:
        node.input[:] = [known_as.get(name, name) for name in node.input]
    kept = [tensor for tensor in graph.initializer if known_as[tensor.name] == tensor.name]
    del graph.initializer[:]
    graph.initializer.extend(kept)
