"""Smaller LiteRT files by ai-edge-quantizer: static int8 with calibration, or float16 weights."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.export.calibration import batches
from featherface.export.options import Options

_Extremes = dict[str, NDArray[Any]]

_NAMES = {
    "backbone": r"MobileNetV1_backbone",
    # The network runs the first stage block by block, so it is the blocks that are named, not their sequence.
    "backbone.stage1": r"MobileNetV1_backbone/featherface\.model\.layers\.(ConvBN|SeparableConv)_",
    "backbone_attention": r"attention\.CBAM",
    "neck": r"BiFPN_neck",
    "neck_attention": r"_EachAxis",
    "context": r"heads\.SSH",
    "shuffle": r"ShuffleBlock",
    "heads": r"heads\.Head",
}
"""In a LiteRT file a layer is called after the classes that it is in."""

_ENDS = r"(Portable(_network)?;\d*|Decoded;\d*|serving_default_\w+);?$"
"""What stands before the first and behind the last layer: subtracting the mean, joining the levels, decoding.

With decoding inside the network is a part called `network`; boxes in pixels must not be rounded.
"""


def quantize(path: Path, options: Options) -> None:
    """Replace the float file by its smaller form."""
    from ai_edge_quantizer import quantizer

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        recipe = _recipe(options)
        work = quantizer.Quantizer(str(path), recipe.get_quantization_recipe())
        scales = _calibrated(recipe, path, options) if work.need_calibration else None
        content = work.quantize(scales).quantized_model
    path.write_bytes(content)


def _recipe(options: Options) -> Any:
    from ai_edge_quantizer import algorithm_manager, qtyping, recipe_manager

    algorithms, operations = algorithm_manager.AlgorithmName, qtyping.TFLOperationName
    manager = recipe_manager.RecipeManager()
    if options.precision == "fp16":
        for operation in (operations.CONV_2D, operations.DEPTHWISE_CONV_2D, operations.FULLY_CONNECTED):
            manager.add_weight_only_config(".*", operation, 16, algorithm_key=algorithms.FLOAT_CASTING)
        return manager
    manager.add_static_config(".*", operations.ALL_SUPPORTED, 8, 8)
    for operation in (operations.INPUT, operations.OUTPUT):  # pixels go in, scores and deltas come out
        manager.add_quantization_config(".*", operation, algorithm_key=algorithms.NO_QUANTIZE)
    stays = options.stays_float
    for regex in [_ENDS, *(_NAMES[group] for group in stays)]:
        manager.add_quantization_config(regex, operations.ALL_SUPPORTED, algorithm_key=algorithms.NO_QUANTIZE)
    return manager


def _calibrated(recipe: Any, path: Path, options: Options) -> Any:
    """Each tensor's range: halfway from the mean of the pictures' extremes to the largest of all.

    The library's moving average has a memory of twenty pictures. By `vga` V2 loses 0.2 of Easy and 0.7 of Hard so, with
    the largest 0.1 and 1.1, with the means 1.7 and 1.1.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import calibrator

    signatures = Interpreter(str(path)).get_signature_list()
    (signature, ends), *_ = signatures.items()
    watch = calibrator.Calibrator(str(path), num_threads=1)
    seen = []
    for images in batches(options):  # of all at once it makes a list, hundreds of megabytes
        watch.reset_model_qsvs()
        watch.calibrate({signature: [{ends["inputs"][0]: images}]}, recipe)
        seen.append(watch.get_model_qsvs())
    return halfway(seen)


def halfway(seen: Sequence[dict[str, _Extremes]]) -> dict[str, _Extremes]:
    """The ranges of the tensors by name, from what each picture's `min` and `max` were."""

    def between(name: str, end: str, outermost: Callable[..., Any]) -> NDArray[Any]:
        all_pictures = [picture[name][end] for picture in seen]
        return np.asarray((np.mean(all_pictures, 0) + outermost(all_pictures, 0)) / 2)

    return {
        name: {"min": between(name, "min", np.min), "max": between(name, "max", np.max)} for name in seen[0]
    }
