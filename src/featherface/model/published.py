"""Reads the published FeatherFace checkpoints (three layouts) into our network, key by key.

This is how a user of those weights migrates: `load(path)` gives a `FeatherFace` with the same outputs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from featherface.errors import ModelError, reason_of
from featherface.model.config import ModelConfig
from featherface.model.network import FeatherFace, build

LAYOUTS: dict[str, ModelConfig] = {
    "published_v1": ModelConfig(
        name="published_v1",
        width=56,
        neck_cells=2,
        backbone_attention="none",
        neck_attention="none",
        context="deformable",
        shuffle="channel",
    ),
    "published_v2": ModelConfig(
        name="published_v2",
        width=56,
        neck_cells=2,
        backbone_attention="none",
        neck_attention="none",
        context="deformable",
        shuffle="channel",
        head_attention="coordinate_shared",
    ),
    "published_v1_cbam": ModelConfig(
        name="published_v1_cbam",
        width=64,
        neck_cells=3,
        backbone_attention="cbam",
        neck_attention="cbam",
        context="deformable",
        shuffle="block",
    ),
}

_SEPARABLE = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1"}
_SHUFFLE = {"1": "reduce.0", "2": "reduce.1", "3": "mix.0", "4": "mix.1", "5": "expand.0", "6": "expand.1"}
_FUSION = {
    "p4_w1": "p4_up_weights",
    "p3_w1": "p3_up_weights",
    "p4_w2": "p4_down_weights",
    "p5_w2": "p5_down_weights",
}
_COORDINATE = {"conv_transform": "shared", "bn_transform": "bn"}
_HEAD = {"Class": "classes", "Bbox": "boxes", "Landmark": "landmarks"}


def load(path: str | Path) -> FeatherFace:
    """The network of a published checkpoint, in eval mode, weights float32.

    Reads with `weights_only=True`. Raises ModelError when the file cannot be read or fits no known layout;
    the message then names the first tensors that differ from the nearest layout.
    """
    return from_state(read_checkpoint(path), str(path))


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """A checkpoint's tensors by name, without `module.` prefixes; unpickles tensors only."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: {reason_of(error)}") from error
    except Exception as error:  # the unpickler's words: where it stumbled, or how to switch its safety off
        raise ModelError(f"{path}: not a readable checkpoint (no tensors by name in it)") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ModelError(f"{path}: holds a {type(content).__name__}, not named tensors")
    return {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}


def from_state(state: dict[str, Tensor], source: str) -> FeatherFace:
    """The network whose layout these published names and shapes fit."""
    renamed = {new: value for old, value in state.items() if (new := our_name(old)) is not None}
    differences: dict[str, list[str]] = {}
    for name, config in LAYOUTS.items():
        model = build(config)
        differences[name] = differences_of(model.state_dict(), renamed)
        if not differences[name]:
            model.load_state_dict(renamed)
            return model.eval()
    nearest = min(differences, key=lambda name: len(differences[name]))
    first = "; ".join(differences[nearest][:3])
    raise ModelError(f"{source}: fits no published layout; nearest is {nearest}, first differences: {first}")


def our_name(published: str) -> str | None:
    """Our name for a published tensor; None for counters and batch norm's step counts we do not need."""
    if published.endswith(("total_ops", "total_params")):
        return None
    for pattern, replacement in _RULES:
        match = re.fullmatch(pattern, published)
        if match:
            return replacement(match)
    return published


def differences_of(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """What keeps `theirs` from being the tensors of a network whose own are `ours`, a line for each."""
    found = [f"{name} is missing" for name in ours if name not in theirs]
    found += [f"{name} is unknown" for name in theirs if name not in ours]
    for name in ours.keys() & theirs.keys():
        if ours[name].shape != theirs[name].shape:
            found.append(f"{name} is {tuple(theirs[name].shape)}, not {tuple(ours[name].shape)}")
    return found


def _cbam(place: str, level: str, rest: str) -> str:
    rest = rest.replace("ChannelGate.mlp.1", "channel.mlp.0").replace("ChannelGate.mlp.3", "channel.mlp.2")
    return f"{place}.{level}.attention.{rest.replace('SpatialGate.spatial', 'spatial')}"


def _ssh(conv: str) -> str:
    return re.sub(r"conv(\d)[xX]\d", r"conv\1", conv)


_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"body\.stage1\.0\.(\d)\.(\w+)", lambda m: f"backbone.stage1.0.{m[1]}.{m[2]}"),
    (
        r"body\.stage(\d)\.(\d)\.(\d)\.(\w+)",
        lambda m: f"backbone.stage{m[1]}.{m[2]}.{_SEPARABLE[m[3]]}.{m[4]}",
    ),
    (r"bacbkbone_(\d)_cbam\.(.+)", lambda m: _cbam("backbone_attention", m[1], m[2])),
    (r"bif_cbam_(\d)\.(.+)", lambda m: _cbam("neck_attention", m[1], m[2])),
    (r"bifpn\.(\d)\.(p\d_w\d)", lambda m: f"neck.cells.{m[1]}.{_FUSION[m[2]]}"),
    (
        r"bifpn\.(\d)\.conv(\d_\w+)\.(depthwise|pointwise)_conv\.conv\.(\w+)",
        lambda m: f"neck.cells.{m[1]}.p{m[2]}.{m[3]}.{m[4]}",
    ),
    (r"bifpn\.(\d)\.conv(\d_\w+)\.bn\.(\w+)", lambda m: f"neck.cells.{m[1]}.p{m[2]}.bn.{m[3]}"),
    (
        r"bifpn\.(\d)\.(p\d)_down_channel(_2)?\.(?:(0)\.conv|(1))\.(\w+)",
        lambda m: f"neck.cells.{m[1]}.project.{m[2]}{'_again' if m[3] else ''}.{m[4] or m[5]}.{m[6]}",
    ),
    (r"ssh(\d)\.(\w+)\.(.+)", lambda m: f"context.{int(m[1]) - 1}.{_ssh(m[2])}.{m[3]}"),
    (r"ssh(\d)_cs\.(\d)\.(\w+)", lambda m: f"shuffle.{int(m[1]) - 1}.{_SHUFFLE[m[2]]}.{m[3]}"),
    (r"(Class|Bbox|Landmark)Head\.(\d)\.conv1x1\.(\w+)", lambda m: f"heads.{m[2]}.{_HEAD[m[1]]}.{m[3]}"),
    (
        r"ca_p(\d)\.(\w+)\.(\w+)",
        lambda m: f"head_attention.{int(m[1]) - 3}.{_COORDINATE.get(m[2], m[2])}.{m[3]}",
    ),
)
