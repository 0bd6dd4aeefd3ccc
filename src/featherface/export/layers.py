"""Groups of layers, by which quantization is told what stays float and what that costs is measured."""

from __future__ import annotations

import re
from collections.abc import Sequence

from featherface.errors import ConfigError

GROUPS = (
    "backbone.stage1",
    "backbone.stage2",
    "backbone.stage3",
    "backbone_attention",
    "neck",
    "neck_attention",
    "context",
    "shuffle",
    "heads",
)
"""Parts of the network by the beginning of their modules' names; `context.0` (one level) is one as well."""

LITERT_GROUPS = (
    "backbone", "backbone.stage1", "backbone_attention", "neck", "neck_attention", "context", "shuffle", "heads",
)  # fmt: skip
"""What a LiteRT file's layers, called after classes, can be told apart by."""


def check_groups(groups: Sequence[str], only: Sequence[str] | None = None) -> None:
    """ConfigError for a name that is no group, nor one part of a group by its number; or not one of `only`."""
    for group in groups:
        whole = re.sub(r"\.\d+$", "", group)
        if group not in only if only is not None else whole not in ("backbone", *GROUPS):
            raise ConfigError(f"no group of layers {group!r}; there are {', '.join(only or GROUPS)}")


def is_in(layer: str, groups: Sequence[str]) -> bool:
    """Whether the module name of a layer begins with one of the groups' names."""
    return any(layer == group or layer.startswith(f"{group}.") for group in groups)


def layer_name(exported: str) -> str:
    """The network's own name for what an exported graph calls it: `neck.cells.0.p3_up.pointwise`.

    What is built around the network puts `network.` before it, twice where decoding is inside.
    """
    return re.sub(r"^(network\.)+", "", exported)
