"""The network in int8, arranged for OpenVINO's kernels: every map that is written at all is written in eight bits.

Where a map is rounded decides what the runtime can do within one kernel. Measured (docs/deployment.md): convs
with their activation, and with the sum of a residual, are one kernel each; a sum of maps of different zero
points is two more passes in float, so what BiFPN sums is symmetric; relu(x + x * gate) is written as
relu(x * (1 + gate)), one pass for three; a pixel goes in as the integer that it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.export.deploy import BGR_MEAN
from featherface.export.equalise import first_conv
from featherface.export.fake_quant import QuantConv, Rounding, share, stay_float
from featherface.export.layers import is_in
from featherface.export.quantized_neck import QuantNeck
from featherface.export.rewrites import FoldedShuffleBlock, class_difference, fold_shuffles
from featherface.model.attention import CBAM, CoordinateAttention, ResidualAttention
from featherface.model.backbone import STRIDE8_BLOCKS, MobileNetV1
from featherface.model.fold import folded
from featherface.model.heads import SSH, Head
from featherface.model.layers import LEAKY_SLOPE, Refinement
from featherface.model.network import FeatherFace, each


class QuantizedNetwork(nn.Module):
    """RGB 0-255 in, `(scores (B, P), box_deltas (B, P, 4), landmark_deltas (B, P, 10))` out.

    To be calibrated (`fake_quant.calibrate`) before it rounds. `floats`: groups of layers (see `layers`) that
    stay float. `cheap_swish`: SiLU as a polynomial where no conv ends in it, no further from it than 0.026;
    twice as fast where the runtime makes one kernel of many small operations, which OpenVINO does for one input size
    only.
    """

    def __init__(self, model: FeatherFace, floats: tuple[str, ...] = (), cheap_swish: bool = False) -> None:
        super().__init__()
        network = folded(model)
        fold_shuffles(network)
        with torch.no_grad():
            stem = network.backbone.stage1[0][0]  # type: ignore[index]
            stem.weight.copy_(stem.weight.flip(1))
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(BGR_MEAN[::-1]).view(1, 3, 1, 1))
        self.backbone = QuantBackbone(network.backbone)
        self.backbone_attention = nn.ModuleList(_attention(m, 1) for m in network.backbone_attention)
        self.neck = QuantNeck(network.neck, cheap_swish)
        # P3's rows come in fours, P4's in twos: see QuantCoordinate.
        self.neck_attention = nn.ModuleList(
            _attention(m, rows) for m, rows in zip(network.neck_attention, (4, 2, 1), strict=True)
        )
        self.context = nn.ModuleList(QuantSSH(m) for m in network.context)  # type: ignore[arg-type]
        self.head_attention = nn.ModuleList(_rounded_after(m) for m in network.head_attention)
        self.shuffle = nn.ModuleList(
            QuantShuffle(m) if isinstance(m, FoldedShuffleBlock) else m for m in network.shuffle
        )
        self.refine_p3 = None if network.refine_p3 is None else QuantRefinement(network.refine_p3)
        self.heads = nn.ModuleList(QuantHead(m) for m in network.heads)  # type: ignore[arg-type]
        for name, part in self.named_modules():
            if is_in(name, floats):
                stay_float(part)
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.backbone(images - self.mean)
        maps = each(self.backbone_attention, maps)
        maps = each(self.neck_attention, self.neck(maps))
        maps = each(self.head_attention, each(self.context, maps))
        maps = each(self.shuffle, maps)
        if self.refine_p3 is not None:
            maps[0] = self.refine_p3(maps[0], plus=maps[0])
        parts = [head(x) for head, x in zip(self.heads, maps, strict=True)]
        scores, boxes, landmarks = (torch.cat(tensors, 1) for tensors in zip(*parts, strict=True))
        return scores, boxes, landmarks


class QuantBackbone(nn.Module):
    """`MobileNetV1`; a residual's sum is rounded, not what is added."""

    def __init__(self, backbone: MobileNetV1) -> None:
        super().__init__()
        self.stage1, self.stage2, self.stage3 = (
            nn.ModuleList(_Chain([m for m in block.modules() if isinstance(m, nn.Conv2d)]) for block in stage)
            for stage in (backbone.stage1, backbone.stage2, backbone.stage3)
        )
        self.detail, self.context = (
            None if refinement is None else QuantRefinement(refinement, signed=True)
            for refinement in (backbone.detail, backbone.context)
        )
        for stage in (self.stage1, self.stage2, self.stage3):
            last = [module for module in stage.modules() if isinstance(module, Rounding)][-1]
            last.border = True
            # What attention multiplies has no zero point.
            last.signed = stage is self.stage3

    def forward(self, x: Tensor) -> list[Tensor]:
        early = x
        for i, block in enumerate(self.stage1):
            x = block(x)
            if i == len(self.stage1) - STRIDE8_BLOCKS - 1:
                early = x
        p3 = x if self.detail is None else self.detail(early, plus=x)
        x = p3
        for block in self.stage2:
            x = block(x)
        p4 = x if self.context is None else self.context(x, plus=x)
        x = p4
        for block in self.stage3:
            x = block(x)
        return [p3, p4, x]


class QuantRefinement(nn.Module):
    """`Refinement` and the sum with the map that it refines."""

    def __init__(self, refinement: Refinement, signed: bool = False) -> None:
        super().__init__()
        self.depthwise = QuantConv(first_conv(refinement.depthwise), _leaky, Rounding())
        self.pointwise = QuantConv(
            first_conv(refinement.pointwise), None, Rounding(signed=signed, border=True)
        )

    def forward(self, x: Tensor, plus: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x), plus)  # type: ignore[no-any-return]


class QuantCBAM(nn.Module):
    """relu(x + CBAM(x)); the two layers on pooled channels stay float, they are small.

    The second of them reads the sum of both poolings, so that the sigmoid ends a conv: that of a sum of two convs the
    runtime works out anew at each place of the map. What is pooled over the channels has no sign: from maps with one
    the runtime works the conv behind it out wrongly.
    """

    def __init__(self, cbam: CBAM) -> None:
        super().__init__()
        self.first, self.second = (
            _as_conv(layer) for layer in cbam.channel.mlp if isinstance(layer, nn.Linear)
        )
        with torch.no_grad():
            self.second.bias.mul_(2)  # type: ignore[union-attr]
        self.gated, self.pooled = Rounding(signed=True), Rounding()
        self.spatial = QuantConv(cbam.spatial.conv, torch.sigmoid)
        self.factor, self.out = Rounding(fixed=(0.0, 2.0)), Rounding(border=True)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.first(x.mean((2, 3), True))) + F.relu(self.first(x.amax((2, 3), True)))
        channels = torch.sigmoid(self.second(hidden))
        gated = self.gated(x * channels)
        pooled = (self.pooled(gated.amax(1, True)), self.pooled(gated.mean(1, True)))
        factor = self.factor(self.spatial(torch.cat(pooled, 1)) * channels + 1)
        return self.out(F.relu(x * factor))  # type: ignore[no-any-return]


class QuantCoordinate(nn.Module):
    """relu(x + CoordinateAttention(x)); the convs on single rows and columns stay float.

    `rows`: this many rows are averaged before the mean over all, which by itself takes the runtime as long as a
    conv does; the map's height must be a multiple.
    """

    def __init__(self, attention: CoordinateAttention, rows: int) -> None:
        super().__init__()
        self.shared, self.act, self.rows = attention.shared, attention.act, rows
        self.conv_h, self.conv_w = attention.conv_h, attention.conv_w
        self.factor, self.out = Rounding(fixed=(0.0, 2.0)), Rounding(border=True)

    def forward(self, x: Tensor) -> Tensor:
        fewer = F.avg_pool2d(x, (self.rows, 1)) if self.rows > 1 else x
        along_h = self.act(self.shared(x.mean(3, keepdim=True)))
        along_w = self.act(self.shared(fewer.mean(2, keepdim=True)))
        gate = torch.sigmoid(self.conv_h(along_h)) * torch.sigmoid(self.conv_w(along_w))
        return self.out(F.relu(x * self.factor(gate + 1)))  # type: ignore[no-any-return]


class QuantSSH(nn.Module):
    """`SSH`; its three parts share one range, so that their concatenation is a copy."""

    def __init__(self, ssh: SSH) -> None:
        super().__init__()
        self.reduce = (
            QuantConv(ssh.reduce, None, Rounding()) if isinstance(ssh.reduce, nn.Conv2d) else nn.Identity()
        )
        self.conv5_1, self.conv7_2 = (
            QuantConv(first_conv(m), _leaky, Rounding()) for m in (ssh.conv5_1, ssh.conv7_2)
        )
        self.conv3, self.conv5_2, self.conv7_3 = (
            QuantConv(first_conv(m), F.relu, Rounding(border=True))
            for m in (ssh.conv3, ssh.conv5_2, ssh.conv7_3)
        )
        share(*(m.rounding for m in (self.conv3, self.conv5_2, self.conv7_3)))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        shared = self.conv5_1(x)
        return torch.cat([self.conv3(x), self.conv5_2(shared), self.conv7_3(self.conv7_2(shared))], 1)


class QuantShuffle(nn.Module):
    """The learnable shuffle, its shuffle in the weights already."""

    def __init__(self, block: FoldedShuffleBlock) -> None:
        super().__init__()
        reduce, mix, expand = (first_conv(m) for m in block.convs)
        self.reduce, self.mix = QuantConv(reduce, None, Rounding()), QuantConv(mix, None, Rounding())
        self.expand = QuantConv(expand, F.relu, Rounding(border=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.expand(self.mix(self.reduce(x)))  # type: ignore[no-any-return]


class QuantHead(nn.Module):
    """One level's scores (B, N), box deltas (B, N, 4) and landmark deltas (B, N, 10), in float."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.classes = QuantConv(class_difference(head.classes), torch.sigmoid)
        self.boxes, self.landmarks = QuantConv(head.boxes), QuantConv(head.landmarks)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch = x.shape[0]
        scores, boxes, landmarks = (
            conv(x).permute(0, 2, 3, 1) for conv in (self.classes, self.boxes, self.landmarks)
        )
        return scores.reshape(batch, -1), boxes.reshape(batch, -1, 4), landmarks.reshape(batch, -1, 10)


class _Chain(nn.Module):
    """A block of the backbone: convs with LeakyReLU, one after the other."""

    def __init__(self, convs: list[nn.Conv2d]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(QuantConv(conv, _leaky, Rounding()) for conv in convs)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
        return x


def _attention(module: nn.Module, rows: int) -> nn.Module:
    inner = module.attention if isinstance(module, ResidualAttention) else None
    if isinstance(inner, CBAM):
        return QuantCBAM(inner)
    if isinstance(inner, CoordinateAttention):
        return QuantCoordinate(inner, rows)
    return _rounded_after(module)


def _rounded_after(module: nn.Module) -> nn.Module:
    return module if isinstance(module, nn.Identity) else nn.Sequential(module, Rounding(border=True))


def _as_conv(layer: nn.Linear) -> nn.Conv2d:
    conv = nn.Conv2d(layer.in_features, layer.out_features, 1)
    assert conv.bias is not None
    with torch.no_grad():
        conv.weight.copy_(layer.weight[:, :, None, None])
        conv.bias.copy_(layer.bias)
    return conv


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, LEAKY_SLOPE)
