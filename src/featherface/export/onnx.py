"""The ONNX file that the detector runs: RGB 0-255 in, scores and deltas out, any height, width and batch."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import json
import logging
import string
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxslim
import torch
from numpy.typing import NDArray
from torch import nn

from featherface.atomic import atomic_path
from featherface.errors import ModelError
from featherface.export.deform import ONNX_TRANSLATIONS, with_deform_operator
from featherface.export.deploy import Deployed
from featherface.export.layers import layer_name
from featherface.export.reference import magnitude
from featherface.images import PAD_MULTIPLE
from featherface.model.network import FeatherFace, count_parameters

OPSET = 20
OUTPUTS = ("scores", "box_deltas", "landmark_deltas")
_PARITY = 1e-4
_ROUNDINGS = 4
_MAP_MAKERS = ("Conv", "Resize", "MaxPool")


def export_onnx(model: FeatherFace, target: str | Path, name: str | None = None) -> float:
    """Write the ONNX file atomically and return its largest difference from torch on noise pictures.

    The difference is relative to the output's largest value where that is over 1: a network that is hardly trained may
    have deltas in the thousands, in which float32 rounds off more. Raises ModelError when it is over 1e-4, or over
    four times torch's own difference between float32 and float64 where that is more.
    """
    deployed = with_deform_operator(Deployed(model).eval())
    graph = trace_onnx(deployed)
    describe(graph, model, name or model.config.name)
    difference = _difference_from_torch(graph.SerializeToString(), deployed)
    if not (difference <= _PARITY or difference <= _ROUNDINGS * _rounding(deployed)):
        raise ModelError(f"{target}: the exported graph differs from torch by {difference:.2e}")
    with atomic_path(target) as temporary:
        onnx.save(graph, temporary)
    return difference


def trace_onnx(
    deployed: nn.Module,
    outputs: Sequence[str] = OUTPUTS,
    input_size: tuple[int, int] | None = None,
    as_bytes: bool = False,
    translations: Mapping[Any, Callable[..., Any]] = ONNX_TRANSLATIONS,
) -> onnx.ModelProto:
    """The graph of a shipped network: any batch and size, or one picture of `input_size` (height, width).

    `as_bytes`: it takes uint8 (B, H, W, 3). `translations`: operators of ours, as functions that make ONNX of them.
    """
    height, width = input_size or (96, 128)
    generator = torch.Generator().manual_seed(0)
    sample = torch.rand(2 if input_size is None else 1, 3, height, width, generator=generator) * 255
    rows, columns = torch.export.Dim("rows", min=1), torch.export.Dim("columns", min=1)
    first = 1 if as_bytes else 2
    free = {0: torch.export.Dim("batch"), first: PAD_MULTIPLE * rows, first + 1: PAD_MULTIPLE * columns}
    if as_bytes:
        sample = sample.permute(0, 2, 3, 1).to(torch.uint8)
    with _quiet():
        program = torch.onnx.export(
            deployed,
            (sample,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=list(outputs),
            dynamic_shapes=(free,) if input_size is None else None,
            custom_translation_table=dict(translations),
        )
        assert program is not None
        return onnxslim.slim(program.model_proto)  # type: ignore[no-any-return]


def describe(graph: onnx.ModelProto, model: FeatherFace, name: str) -> None:
    """Name the inputs' free sizes and write what the detector needs to know into the metadata."""
    config = model.config
    about = {
        "format": 1,
        "name": name,
        "strides": config.strides,
        "prior_sizes": config.prior_sizes,
        "variances": config.variances,
        "pad_multiple": PAD_MULTIPLE,
        "parameters": count_parameters(model),
    }
    del graph.metadata_props[:]
    graph.metadata_props.add(key="featherface", value=json.dumps(about))
    as_bytes = graph.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sides = ("batch", "height", "width", None) if as_bytes else ("batch", None, "height", "width")
    for value, names in [(graph.graph.input[0], sides)] + [
        (output, ("batch", "priors", None)) for output in graph.graph.output
    ]:
        for axis, free in zip(value.type.tensor_type.shape.dim, names, strict=False):
            if free is not None and not axis.HasField("dim_value"):
                axis.dim_param = free
    for node in graph.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
        _drop_defaults(node)
    _keep_map_sizes(graph.graph)
    _shorten_names(graph.graph)


def _drop_defaults(node: onnx.NodeProto) -> None:
    """Leave out what the operator's definition says anyway: a fiftieth of a file in int8."""
    known = onnx.defs.get_schema(node.op_type, OPSET, node.domain).attributes
    said = [
        value
        for value in node.attribute
        if value.name not in known or value != known[value.name].default_value
    ]
    del node.attribute[:]
    node.attribute.extend(said)


def _keep_map_sizes(graph: onnx.GraphProto) -> None:
    """Of the recorded sizes keep those of maps: only by them does a runtime know which sums can be fused."""
    maps = {output for node in graph.node if node.op_type in _MAP_MAKERS for output in node.output}
    sizes = [value for value in graph.value_info if value.name in maps]
    del graph.value_info[:]
    graph.value_info.extend(sizes)


def _shorten_names(graph: onnx.GraphProto) -> None:
    """Short names for the values inside: the exporter's take tens of kilobytes of a two-megabyte file.

    A conv is called what its module is, which is how quantization knows the parts of the network.
    """
    kept = {value.name for value in [*graph.input, *graph.output]} | {""}
    free = (name for name in _short_names() if name not in kept)
    short: defaultdict[str, str] = defaultdict(lambda: next(free))
    named: set[str] = set()

    def rename(name: str) -> str:
        return name if name in kept else short[name]

    for value in [*graph.initializer, *graph.value_info]:
        value.name = rename(value.name)
    for node in graph.node:
        weights = [value for value in node.input if value.endswith(".weight")]
        node.ClearField("name")  # an empty name takes two bytes, too
        if weights:
            node.name = layer_name(weights[0].removesuffix(".weight"))
            while node.name in named:  # a conv that is used twice
                node.name += "+"
            named.add(node.name)
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]


def _short_names() -> Iterator[str]:
    """All identifiers in order of length: a letter, then letters and digits."""
    for more in itertools.count():
        for letter in string.ascii_letters:
            for rest in itertools.product(string.ascii_letters + string.digits, repeat=more):
                yield letter + "".join(rest)


def _difference_from_torch(graph: bytes, deployed: nn.Module) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        return session.run(list(OUTPUTS), {"images": images})  # type: ignore[no-any-return]

    return _largest_difference(run, deployed)


def _rounding(deployed: nn.Module) -> float:
    """How far float32 itself moves the outputs: a hardly trained network may blow small differences up."""
    precise = copy.deepcopy(deployed).double()

    def run(images: NDArray[np.float32]) -> Sequence[NDArray[np.float64]]:
        with torch.no_grad():
            return [output.numpy() for output in precise(torch.from_numpy(images).double())]

    return _largest_difference(run, deployed)


def _largest_difference(
    run: Callable[[NDArray[np.float32]], Sequence[NDArray[np.floating[Any]]]], deployed: nn.Module
) -> float:
    """Between what `run` and torch say of noise pictures, relative to the output's magnitude."""
    rng = np.random.default_rng(0)
    differences = []
    for shape in ((1, 3, 128, 96), (3, 3, 64, 160)):
        images = rng.integers(0, 256, shape).astype(np.float32)
        with torch.no_grad():
            expected = deployed(torch.from_numpy(images))
        for ours, theirs in zip(run(images), (output.numpy() for output in expected), strict=True):
            differences.append(float(np.abs(ours - theirs).max()) / magnitude(theirs))
    return float(np.max(differences))  # Python's own max would lose a NaN


@contextlib.contextmanager
def _quiet():  # type: ignore[no-untyped-def]
    """The exporter talks a lot; its failures are exceptions, not prints."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
