"""Static int8 for OpenVINO: our own placement of the roundings, then its own form of int8 weights and short names."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from featherface.export.calibration import batches
from featherface.export.fake_quant import calibrate
from featherface.export.options import Options
from featherface.export.portable import Decoded
from featherface.export.quantized import QuantizedNetwork
from featherface.model.network import FeatherFace

_SMALL = 1024


def calibrated(model: FeatherFace, options: Options) -> torch.nn.Module:
    """The network to convert, with its ranges measured and, when asked, decoding inside."""
    # Many small operations become one kernel only where all sizes are known.
    network = QuantizedNetwork(model, options.stays_float, cheap_swish=options.input_size is not None)
    calibrate(network, batches(options))
    return Decoded(network, model.config, options.input_size).eval() if options.decodes else network


def compress(network: Any) -> None:
    """Store int8 weights as such, and let max-pooling keep its maps in int8; in place."""
    from openvino._offline_transformations import compress_quantize_weights_transformation

    _simplify_pools(network)
    compress_quantize_weights_transformation(network)
    _share_constants(network)
    _shorten_names(network)


def of_bytes(network: Any) -> Any:
    """The network for pictures as they lie in memory, (B, H, W, 3) in uint8: no pass to round floats, none to turn."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    asked = PrePostProcessor(network)
    asked.input().tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    asked.input().model().set_layout(Layout("NCHW"))
    return asked.build()


def shrink(path: Path) -> None:
    """Take out of a saved model's XML what its reader works out again, more than half of it.

    That is the indentation, the shapes between the operations, and the types of what they read.
    """
    tree = ElementTree.parse(path)
    for element in tree.iter():
        element.text = element.tail = None
    for port in tree.iter("port"):
        port[:] = [child for child in port if child.tag != "dim"]
    for port in tree.iterfind("layers/layer/input/port"):
        port.attrib.pop("precision", None)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _simplify_pools(network: Any) -> None:
    """The neck's max-pooling in the operator's first form: the later one also counts indices, in float.

    Heights and widths are even there, so rounding up means one row and column more.
    """
    from openvino import opset1

    for operation in network.get_ordered_ops():
        about = operation.get_attributes()
        if operation.get_type_name() != "MaxPool" or not str(about["rounding_type"]).startswith("ceil"):
            continue
        pool = opset1.max_pool(
            operation.input_value(0),
            strides=[2, 2],
            pads_begin=[0, 0],
            pads_end=[1, 1],
            kernel_shape=[3, 3],
            rounding_type="floor",
            auto_pad="explicit",
        )
        for reader in list(operation.output(0).get_target_inputs()):
            reader.replace_source_output(pool.output(0))
    network.validate_nodes_and_infer_types()


def _share_constants(network: Any) -> None:
    """Keep one of equal small constants: every rounding comes with the same range twice."""
    first: dict[tuple[str, tuple[int, ...], bytes], Any] = {}
    for operation in network.get_ordered_ops():
        if operation.get_type_name() != "Constant" or operation.get_byte_size() > _SMALL:
            continue
        content = (
            str(operation.get_element_type()),
            tuple(operation.get_output_shape(0)),
            operation.data.tobytes(),
        )
        kept = first.setdefault(content, operation)
        if kept is not operation:
            for reader in list(operation.output(0).get_target_inputs()):
                reader.replace_source_output(kept.output(0))


def _shorten_names(network: Any) -> None:
    """Number the operations and forget where they came from: names are a fifth of the XML."""
    ends = {*network.get_parameters(), *network.get_results()}
    for number, operation in enumerate(network.get_ordered_ops()):
        operation.set_friendly_name(f"n{number}")
        for output in operation.outputs():
            if operation not in ends and not any(
                reader.get_node() in ends for reader in output.get_target_inputs()
            ):
                output.get_tensor().set_names(set())
