"""Static int8 for ONNX Runtime: QDQ, unsigned activations, signed weights per channel (fast on x86 and ARM)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import onnxslim
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from featherface.export.calibration import batches
from featherface.export.equalise import equalised
from featherface.export.layers import GROUPS, is_in
from featherface.export.onnx_graph import build, halve_weights, save, share_constants
from featherface.export.options import Options
from featherface.export.portable import DECODED_OUTPUTS, RAW_OUTPUTS
from featherface.model.network import FeatherFace
from featherface.runtime import OnnxSession, Session

# Each of these has an int8 kernel; what is not here (pooled gates, reshapes) is small and stays float.
_OPERATORS = (
    "Conv",
    "Add",
    "Mul",
    "Concat",
    "Resize",
    "MaxPool",
    "LeakyRelu",
    "Relu",
    "Sigmoid",
    "HardSwish",
)


@dataclass(frozen=True)
class Sensitivity:
    """What int8 costs: AP with everything in int8 but one group, against everything in float."""

    group: str
    ap: dict[str, float]
    lost: dict[str, float]
    """AP that int8 in this group loses: with the group float, minus with everything in int8."""


def convert_int8(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the quantized file; what stays float in it is stored in half size."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "float.onnx"
        _write_float(model, source, options)
        quantize(source, target, options)
    graph = onnx.load(target)
    if options.decodes:
        _drop_deltas(graph.graph)
    share_constants(graph.graph)
    halve_weights(graph.graph)
    save(graph, model, target, options)


def quantize(source: Path, target: Path, options: Options) -> None:
    """The float file with int8 weights and activations, except in `options.float_layers` and in decoding.

    A map's range is the mean of the pictures' extremes: the largest of all is far out, and everything else would pay
    for it. Boxes in pixels must not be rounded: 256 levels of a picture's width are steps of many pixels, and end
    where the calibration pictures do.
    """
    graph = onnx.load(source)
    layers, network = layer_of_nodes(graph.graph), _network_nodes(graph.graph)
    floats = [
        name for name, layer in layers.items() if name not in network or is_in(layer, options.stays_float)
    ]
    logging.disable(logging.WARNING)  # it warns of a step that the graph has behind it
    try:
        quantize_static(
            source,
            target,
            _Reader(options),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_OPERATORS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=floats,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"CalibMovingAverage": True},
        )
    finally:
        logging.disable(logging.NOTSET)


def layer_of_nodes(graph: onnx.GraphProto) -> dict[str, str]:
    """The module that each node belongs to; a node without a module is part of the one that feeds it."""
    layers: dict[str, str] = {}
    made_by: dict[str, str] = {}
    for node in graph.node:
        before = [made_by[value] for value in node.input if value in made_by]
        own = node.name.split("/")[0].rstrip("+") if node.op_type in ("Conv", "Gemm") else ""
        layer = own or (before[0] if before else "input")
        layers[node.name] = layer
        made_by.update(dict.fromkeys(node.output, layer))
    return layers


def _network_nodes(graph: onnx.GraphProto) -> set[str]:
    """The names of the nodes that the network's own outputs come from; priors and decoding are not among them."""
    outputs = {output.name for output in graph.output}
    needed = set(RAW_OUTPUTS) if outputs.issuperset(RAW_OUTPUTS) else outputs
    names = set()
    for node in reversed(graph.node):  # what a node reads comes before it
        if needed.intersection(node.output):
            names.add(node.name)
            needed.update(node.input)
    return names


def _drop_deltas(graph: onnx.GraphProto) -> None:
    """They were outputs only to mark where the network ends."""
    kept = [output for output in graph.output if output.name in DECODED_OUTPUTS]
    del graph.output[:]
    graph.output.extend(kept)


def sensitivity(
    model: FeatherFace,
    options: Options,
    measure: Callable[[Session], dict[str, float]],
    report: Callable[[Sensitivity], None] = lambda row: None,
    warn: Callable[[str], None] = lambda line: None,
) -> list[Sensitivity]:
    """AP with all layers in float, all in int8, and all in int8 but one group at a time.

    `measure` returns AP per subset; `warn` hears of calibration pictures that are skipped. The first
    two rows are called `all float` and `all int8`.
    """
    rows: list[Sensitivity] = []
    options = replace(
        options, with_decode=False, with_nms=False
    )  # AP is measured by the detector, which decodes
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        _write_float(equalised(model, batches(options, warn)), source, options)
        layers = set(layer_of_nodes(onnx.load(source).graph).values())
        there = [group for group in GROUPS if any(is_in(layer, (group,)) for layer in layers)]
        base: dict[str, float] = {}
        for name, stays in [("all float", None), ("all int8", ()), *((g, (g,)) for g in there)]:
            if stays is None:
                ap = measure(OnnxSession(source, threads=1))
            else:
                quantize(source, target, replace(options, float_layers=stays))
                ap = measure(OnnxSession(target, threads=1))
            if name == "all int8":
                base = ap
                lost = {subset: rows[0].ap[subset] - value for subset, value in ap.items()}
            else:
                lost = {subset: value - base[subset] for subset, value in ap.items()} if base else {}
            rows.append(Sensitivity(name, ap, lost))
            report(rows[-1])
    return rows


def _write_float(model: FeatherFace, target: Path, options: Options) -> None:
    """The float graph to start from, every node with a name of its own."""
    graph = onnxslim.slim(
        build(
            model, replace(options, precision="fp32", calibration=None, float_layers=None), keep_deltas=True
        )
    )
    del graph.graph.value_info[:]
    for i, node in enumerate(graph.graph.node):
        node.name = f"{node.name}/{i}"
    onnx.save(graph, target)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, options: Options) -> None:
        self._batches = batches(options)

    def get_next(self) -> dict[str, Any] | None:
        images = next(self._batches, None)
        return None if images is None else {"images": images}
