"""Groups of layers, by which quantization is told what stays float and what that costs is measured."""

from __future__ import annotations

from collections.abc import Sequence

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


def is_in(layer: str, groups: Sequence[str]) -> bool:
    """Whether the module name of a layer begins with one of the groups' names."""
    return any(layer == group or layer.startswith(f"{group}.") for group in groups)
