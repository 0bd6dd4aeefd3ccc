"""Static int8 for OpenVINO by nncf: symmetric weights per channel, asymmetric activations, bias corrected."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any

from featherface.export.calibration import batches
from featherface.export.layers import is_in
from featherface.export.options import Options

_MODULE = "__module."


def quantize(network: Any, options: Options) -> Any:
    """The OpenVINO model in int8, except for `options.float_layers` (see `layers`)."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    names = [operation.get_friendly_name() for operation in network.get_ordered_ops()]
    ignored = [name for name in names if is_in(_layer(name), options.stays_float)]
    with contextlib.redirect_stdout(io.StringIO()):
        return nncf.quantize(
            network,
            nncf.Dataset(list(batches(options))),
            subset_size=options.calibration_images,
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(names=ignored, validate=False),
        )


def _layer(operation: str) -> str:
    """`__module.network.context.0.conv3.0/aten::_convolution/Convolution` to `context.0.conv3.0`."""
    name = operation.split("/")[0]
    while name.startswith((_MODULE, "network.")):
        name = name.removeprefix(_MODULE).removeprefix("network.")
    return name
