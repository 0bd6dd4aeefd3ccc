"""OpenVINO IR, converted from the traced torch network, so that deformable convs become its own operator.

In int8 it is ONNX (see `int8_openvino`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from featherface.export.check import Run
from featherface.export.options import Options
from featherface.export.portable import DECODED_OUTPUTS, RAW_OUTPUTS, portable, trace
from featherface.export.torchvision_op import with_torchvision_op
from featherface.export.versions import require
from featherface.model.network import FeatherFace


def check_installed(options: Options) -> None:
    """MissingExtraError or ModelError when what this needs is not there."""
    require("openvino", "openvino", "2025.0")


def convert(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the .xml and the .bin beside it, or the one file in int8."""
    if options.precision == "int8":
        from featherface.export.int8_openvino import convert_int8  # its packages take long to import

        convert_int8(model, target, options)
    else:
        import openvino

        openvino.save_model(_build(model, options), target, compress_to_fp16=options.precision == "fp16")


def _build(model: FeatherFace, options: Options) -> Any:
    """The OpenVINO model with named input and outputs."""
    import openvino

    size = options.input_size or (-1, -1)
    batch = -1 if options.input_size is None and not options.with_nms else 1
    traced = trace(with_torchvision_op(portable(model, options)), options)
    network = openvino.convert_model(traced, input=[batch, 3, *size])
    network.input(0).get_tensor().set_names({"images"})
    names = DECODED_OUTPUTS if options.decodes else RAW_OUTPUTS
    for output, name in zip(network.outputs, names, strict=True):
        output.get_tensor().set_names({name})
    return _with_nms(network, options) if options.with_nms else network


def runner(path: Path, options: Options) -> Run:
    """The file in OpenVINO, computing in float32."""
    from featherface.runtimes.openvino import OpenVinoSession, to_nhwc

    if not options.decodes:
        return OpenVinoSession(path, threads=1).run
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: Any) -> Any:
        found = model([to_nhwc(images) if options.takes_bytes else images])
        return tuple(np.array(found[name]) for name in DECODED_OUTPUTS)

    return run


def _with_nms(network: Any, options: Options) -> Any:
    """The model of one picture with suppression behind it: (N,), (N, 4), (N, 10), best score first."""
    import openvino
    from openvino import opset13 as ops

    scores, boxes, landmarks = (output.get_node().input_value(0) for output in network.outputs)
    suppressed = ops.non_max_suppression(
        boxes,
        ops.unsqueeze(scores, np.int64(1)),
        np.int64(options.max_detections),
        np.float32(options.iou_threshold),
        np.float32(options.score_threshold),
        output_type="i64",
    )
    # Its first output is padded to the number of candidates; the third says how many are real.
    kept = ops.slice(suppressed.output(0), np.array([0]), suppressed.output(2), np.array([1]), np.array([0]))
    chosen = ops.gather(kept, np.int64(2), np.int64(1))
    results = []
    for name, values in zip(DECODED_OUTPUTS, (scores, boxes, landmarks), strict=True):
        gathered = ops.gather(ops.squeeze(values, np.int64(0)), chosen, np.int64(0))
        gathered.output(0).get_tensor().set_names({name})
        results.append(ops.result(gathered))
    return openvino.Model(results, network.get_parameters(), network.get_friendly_name())
