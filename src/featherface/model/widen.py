"""Widening that keeps the function: more channels, the same outputs (after Chen 2016, "Net2Net", section 2.2).

A new channel is the double of an old one: it copies the weights that make it, and those that read the two are split
between them at random, so that they add up to what they were and the doubles do not learn alike. Channels that
start as zero would be simpler, but behind a ReLU they get no gradient and stay dead; live ones that nobody reads
change what CBAM's spatial gate sees, the largest and the mean of all channels. Doubles leave batch norm's statistics as
they are, the largest channel too, and the mean when all channels have equally many: under CBAM only whole multiples
are widened.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from featherface.errors import ModelError
from featherface.model.attention import CBAM, CoordinateAttention, SharedCoordinateAttention
from featherface.model.backbone import STRIDE8_BLOCKS
from featherface.model.config import ModelConfig
from featherface.model.heads import SSH
from featherface.model.layers import (
    DeformableConv2d,
    Refinement,
    SeparableConv,
    ShuffleBlock,
    channel_shuffle,
)
from featherface.model.neck import BiFPNCell
from featherface.model.network import FeatherFace, build

WIDTHS = ("width", "backbone_widths", "context_widths")
"""The fields of ModelConfig that widening changes."""


def is_wider(config: ModelConfig, than: ModelConfig) -> bool:
    """Whether any part of `config` has more channels than the same part of `than`."""
    before = dict(_widths(than))
    return any(width > before.get(part, width) for part, width in _widths(config))


def widen(source: FeatherFace, config: ModelConfig) -> FeatherFace:
    """A network of `config`'s widths that computes what `source` does, in eval mode.

    All widths may grow: of the neck, of each level's context module and heads, of every layer of the backbone.
    Raises ModelError, which names the part, when something else differs than widths, when a part would get
    narrower, and when channels under CBAM do not grow to a whole multiple.
    """
    check_widening(source.config, config)
    target = build(config).eval()
    with torch.no_grad():
        _Widening(source, target).run()
    return target


def check_widening(source: ModelConfig, config: ModelConfig) -> None:
    """Raise ModelError for what `widen` cannot do."""
    title = f"{source.name} cannot be widened to {config.name}"
    for field in dataclasses.fields(ModelConfig):
        before, after = getattr(source, field.name), getattr(config, field.name)
        if field.name not in ("name", *WIDTHS) and before != after:
            raise ModelError(f"{title}: {field.name} is {before!r}, not {after!r}")
    if [len(s) for s in source.backbone_widths] != [len(s) for s in config.backbone_widths]:
        raise ModelError(f"{title}: the backbone has other layers; widening adds channels only")
    for (part, before), (_, after) in zip(_widths(source), _widths(config), strict=True):
        if after < before:
            raise ModelError(f"{title}: {part} would shrink from {before} to {after} channels")
    for part, before, after in _under_cbam(source, config):
        if after % before:
            raise ModelError(
                f"{title}: CBAM takes the mean over the channels of {part}, so {before} can become a multiple of "
                f"{before} only, not {after}"
            )


def _under_cbam(source: ModelConfig, config: ModelConfig) -> list[tuple[str, int, int]]:
    """Maps that CBAM gates, with their channels before and after."""
    found = []
    if source.backbone_attention == "cbam":
        pairs = zip(source.backbone_widths, config.backbone_widths, strict=True)
        found += [(f"the backbone's stage {i}", old[-1], new[-1]) for i, (old, new) in enumerate(pairs, 1)]
    if source.neck_attention == "cbam":
        found.append(("the neck", source.width, config.width))
    return found


def _widths(config: ModelConfig) -> list[tuple[str, int]]:
    """Every width with the name of its part."""
    stages = enumerate(config.backbone_widths, 1)
    layers = [(f"the backbone's stage {i}, layer {k}", w) for i, s in stages for k, w in enumerate(s, 1)]
    levels = [(f"level {i}'s context module", w) for i, w in enumerate(config.level_widths, 3)]
    return [("the neck", config.width), *layers, *levels]


def _doubled(before: int, after: int) -> Tensor:
    """For each of `after` channels the old one it is a double of: all, then from the first again."""
    return torch.arange(after) % before


class _Widening:
    """Goes through both networks side by side. `origin`s (C,) say which old channel each new one doubles."""

    def __init__(self, source: FeatherFace, target: FeatherFace) -> None:
        self.source, self.target = source, target
        self.theirs = dict(source.named_modules())
        self.generator = torch.Generator().manual_seed(0)

    def run(self) -> None:
        target, theirs = self.target, self.source.config
        maps = self._backbone()
        neck = _doubled(theirs.width, target.config.width)
        self._neck(maps, neck)
        for level in range(3):
            self._attention(f"backbone_attention.{level}", maps[level])
            self._attention(f"neck_attention.{level}", neck)
            origin = self._context(f"context.{level}", neck)
            self._attention(f"head_attention.{level}", origin)
            origin = self._shuffle(f"shuffle.{level}", origin)
            if level == 0 and target.refine_p3 is not None:
                self._refinement("refine_p3", origin, origin)
            for part in ("classes", "boxes", "landmarks"):
                self._layer(f"heads.{level}.{part}", None, origin)

    def _backbone(self) -> list[Tensor]:
        """Widen the backbone; the origins of its three maps."""
        old, new = self.source.config.backbone_widths, self.target.config.backbone_widths
        origin, maps, seen = torch.arange(3), [], {}
        for stage in range(3):
            for i, (before, after) in enumerate(zip(old[stage], new[stage], strict=True)):
                name, wider = f"backbone.stage{stage + 1}.{i}", _doubled(before, after)
                if isinstance(self.target.get_submodule(name), SeparableConv):
                    self._block(f"{name}.0", origin, None)
                    self._block(f"{name}.1", wider, origin)
                else:
                    self._block(name, wider, origin)
                origin = seen[stage, i] = wider
            maps.append(origin)
        if self.target.backbone.detail is not None:
            self._refinement("backbone.detail", seen[0, len(old[0]) - STRIDE8_BLOCKS - 1], maps[0])
            self._refinement("backbone.context", maps[1], maps[1])
        return maps

    def _neck(self, maps: list[Tensor], neck: Tensor) -> None:
        for i, cell in enumerate(self.target.neck.cells):
            name = f"neck.cells.{i}"
            assert isinstance(cell, BiFPNCell)
            for projection in cell.project or ():
                self._block(f"{name}.project.{projection}", neck, maps[int(projection[1]) - 3])
            for fusion in ("p4_up", "p3_up", "p4_down", "p5_down"):
                self._layer(f"{name}.{fusion}.depthwise", neck, None)
                self._layer(f"{name}.{fusion}.pointwise", neck, neck)
                self._layer(f"{name}.{fusion}.bn", neck, None)
                weights = getattr(cell, f"{fusion}_weights")
                weights.copy_(getattr(self.theirs[name], f"{fusion}_weights"))

    def _attention(self, name: str, origin: Tensor) -> None:
        module = self.target.get_submodule(name)
        inner = getattr(module, "attention", module)
        name = f"{name}.attention" if inner is not module else name
        if isinstance(inner, CBAM):
            hidden = self._hidden(f"{name}.channel.mlp.0")
            self._layer(f"{name}.channel.mlp.0", hidden, origin)
            self._layer(f"{name}.channel.mlp.2", origin, hidden)
            self._layer(f"{name}.spatial.conv", None, None)
            self._layer(f"{name}.spatial.bn", None, None)
        elif isinstance(inner, CoordinateAttention | SharedCoordinateAttention):
            hidden = self._hidden(f"{name}.shared")
            self._layer(f"{name}.shared", hidden, origin)
            self._layer(f"{name}.bn", hidden, None)
            self._layer(f"{name}.conv_h", origin, hidden)
            self._layer(f"{name}.conv_w", origin, hidden)

    def _hidden(self, name: str) -> Tensor:
        return _doubled(
            *(
                m.get_parameter("weight").shape[0]
                for m in (self.theirs[name], self.target.get_submodule(name))
            )
        )

    def _context(self, name: str, origin: Tensor) -> Tensor:
        """Widen SSH; the origin of its three parts side by side."""
        ssh, theirs = self.target.get_submodule(name), self.theirs[name]
        assert isinstance(ssh, SSH) and isinstance(theirs, SSH)
        if isinstance(ssh.reduce, nn.Conv2d):
            self._layer(f"{name}.reduce", None, origin)
            origin = torch.arange(ssh.reduce.out_channels)
        old, new = _rows(theirs.conv5_1[0]), _rows(ssh.conv5_1[0])
        half, quarter = _doubled(2 * old, 2 * new), _doubled(old, new)
        self._block(f"{name}.conv3", half, origin)
        self._block(f"{name}.conv5_1", quarter, origin)
        for conv in ("conv5_2", "conv7_2", "conv7_3"):
            self._block(f"{name}.{conv}", quarter, quarter)
        return torch.cat((half, 2 * old + quarter, 3 * old + quarter))

    def _shuffle(self, name: str, origin: Tensor) -> Tensor:
        """Widen what follows SSH; the origin of its map."""
        module, before = self.target.get_submodule(name), int(origin.max()) + 1
        if isinstance(module, nn.Identity):
            return origin
        # Where each old channel lies after the old network's shuffle, in the order of the new one's.
        place = _shuffled(torch.arange(before)).argsort()
        origin = place[_shuffled(origin)]
        if not isinstance(module, ShuffleBlock):
            return origin
        half, whole = _doubled(before // 2, len(origin) // 2), _doubled(before, len(origin))
        self._block(f"{name}.reduce", half, origin)
        self._block(f"{name}.mix", half, None)
        self._block(f"{name}.expand", whole, half)
        return whole

    def _refinement(self, name: str, inputs: Tensor, outputs: Tensor) -> None:
        assert isinstance(self.target.get_submodule(name), Refinement)
        self._block(f"{name}.depthwise", inputs, None)
        self._block(f"{name}.pointwise", outputs, inputs)

    def _block(self, name: str, rows: Tensor, columns: Tensor | None) -> None:
        """A conv and the batch norm behind it."""
        conv = self.target.get_submodule(f"{name}.0")
        if isinstance(conv, DeformableConv2d):
            self._layer(f"{name}.0.offset_conv", None, columns)
            self._layer(f"{name}.0.modulator_conv", None, columns)
            self._layer(f"{name}.0.regular_conv", rows, columns)
        else:
            self._layer(f"{name}.0", rows, columns)
        self._layer(f"{name}.1", rows, None)

    def _layer(self, name: str, rows: Tensor | None, columns: Tensor | None) -> None:
        """Fill one layer: outputs double `rows`, inputs `columns`; None: as many as before, or one for each output."""
        theirs = self.theirs[name].state_dict()
        for key, ours in self.target.get_submodule(name).state_dict().items():
            tensor = theirs[key]
            if rows is not None and tensor.ndim:
                tensor = tensor[rows]
            if columns is not None and key == "weight":
                shares = 0.5 + torch.rand(ours.shape, generator=self.generator)
                sums = torch.zeros_like(tensor).index_add_(1, columns, shares)
                tensor = tensor[:, columns] * shares / sums[:, columns]
            ours.copy_(tensor)


def _shuffled(origin: Tensor) -> Tensor:
    return channel_shuffle(origin.reshape(1, -1, 1, 1)).flatten()


def _rows(conv: nn.Module) -> int:
    """Output channels of a plain or deformable conv."""
    inner = conv.regular_conv if isinstance(conv, DeformableConv2d) else conv
    assert isinstance(inner, nn.Conv2d)
    return inner.out_channels
