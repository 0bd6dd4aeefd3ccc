"""ExecuTorch (.pte) with the XNNPACK backend. One input size, no deformable convs."""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from featherface.errors import ModelError
from featherface.export.check import Run
from featherface.export.fusion import fuse
from featherface.export.layers import is_in, layer_name
from featherface.export.options import DEFAULT_SIZE, Options
from featherface.export.portable import portable
from featherface.export.versions import require
from featherface.model.network import FeatherFace

_RELU = {torch.ops.aten.relu.default, torch.ops.aten.relu_.default}


def check_installed(options: Options) -> None:
    """MissingExtraError or ModelError when what this needs is not there."""
    require("executorch", "executorch", "1.0")
    if options.precision == "int8":
        require("torchao", "executorch", "0.14")


def convert(model: FeatherFace, target: Path, options: Options) -> None:
    """Write the file."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    sample = torch.zeros(1, 3, *(options.input_size or DEFAULT_SIZE))
    network = portable(model, options)
    fuse(network)  # nothing is worked out beforehand here: each fusion weight would cut the graph in two
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        if options.precision == "int8":
            network = _quantized(network, sample, options)
        program = torch.export.export(network, (sample,))
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        target.write_bytes(lowered.to_executorch().buffer)


def runner(path: Path, options: Options) -> Run:
    """The file in ExecuTorch's Python runtime."""
    from executorch.runtime import Runtime

    try:
        method = Runtime.get().load_program(path).load_method("forward")
    except RuntimeError as error:
        raise ModelError(f"ExecuTorch cannot load what it wrote ({error}); see --float-layers") from error

    def run(images: Any) -> Any:
        return tuple(output.detach().numpy().copy() for output in method.execute([torch.from_numpy(images)]))

    return run


def _quantized(network: nn.Module, sample: torch.Tensor, options: Options) -> nn.Module:
    """Static int8 of the convs (pt2e: torchao's post-training quantization); the rest stays float.

    With everything in int8 the backend cannot lower the gates: its pass that orders channels stumbles over them.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    from featherface.export.calibration import batches

    def wanted(node: torch.fx.Node) -> bool:
        # Asked of all nodes of a pattern, the conv's weights among them.
        if node.op != "call_function" or node.target in _RELU:
            return True
        return node.target is torch.ops.aten.conv2d.default and not is_in(
            _layer_of(node), options.stays_float
        )

    class Quantizer(XNNPACKQuantizer):  # type: ignore[misc]
        """It does not ask the filter of concatenations, and would round the scores and deltas that come out."""

        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            for node in model.graph.nodes:
                joins = node.target is torch.ops.aten.cat.default
                if joins and not all(map(wanted, node.all_input_nodes)):
                    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
            annotated: torch.fx.GraphModule = super().annotate(model)
            return annotated

    quantizer = Quantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True))
    quantizer.set_filter_function(wanted)
    prepared = prepare_pt2e(torch.export.export(network, (sample,)).module(), quantizer)
    for images in batches(options):
        prepared(torch.from_numpy(images))
    result: nn.Module = convert_pt2e(prepared)
    if not any(value.dtype == torch.int8 for value in result.state_dict().values()):
        raise ModelError("ExecuTorch: its quantizer put no weights in int8; is its version a newer one?")
    return result


def _layer_of(node: torch.fx.Node) -> str:
    modules = list(node.meta["nn_module_stack"].values())
    return layer_name(str(modules[-1][0]))
