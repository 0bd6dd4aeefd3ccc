"""The network as shipped: the same function, arranged for runtimes that keep maps in blocks of channels.

Every rewrite is exact up to rounding. What it is for, measured in ONNX Runtime (`benchmarks/graph.py`): maps
leave the blocked layout at each broadcast multiplication, at each unfused activation and at each layer whose
channels do not fill a block, and a reorder costs as much as a small convolution.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from featherface.export.fusion import Factors, FusedCell, fused_cells, multiply
from featherface.export.rewrites import class_difference, fold_shuffles, replace
from featherface.model.attention import CBAM
from featherface.model.fold import folded
from featherface.model.heads import SSH, Head
from featherface.model.layers import ConvBN, Refinement, SeparableConv
from featherface.model.neck import BiFPNCell, FusionConv
from featherface.model.network import FeatherFace

BGR_MEAN = (104.0, 117.0, 123.0)
_BLOCK = 8  # of AVX2's kernels; AVX-512's are twice that, and gain less by 16 channels than AVX2 loses
_VALUES = (1, 4, 10)
"""Per prior: the face's logit, box deltas, landmark deltas."""


class Deployed(nn.Module):
    """RGB 0-255 in, `(scores (B, P), box_deltas (B, P, 4), landmark_deltas (B, P, 10))` out.

    The channel swap lives in the stem's weights, softmax over (background, face) in the class heads as the
    sigmoid of the difference of their logits. The mean is subtracted as an op of its own, because the stem
    pads with zeros after it.
    """

    def __init__(self, model: FeatherFace) -> None:
        super().__init__()
        self.network = folded(model)
        _swap_and_widen_stem(self.network)
        replace(self.network, CBAM, DeployedCBAM)
        fold_shuffles(self.network)
        replace(self.network, SSH, DeployedSSH)
        self.network.neck.cells = fused_cells(self.network.neck.cells, _deployed_cell)  # type: ignore[arg-type]
        self.heads = nn.ModuleList(DeployedHead(head) for head in self.network.heads)  # type: ignore[arg-type]
        del self.network.heads
        if self.network.refine_p3 is not None:
            self.heads[0] = RefinedHead(self.heads[0], self.network.refine_p3)  # type: ignore[arg-type]
            self.network.refine_p3 = None
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(BGR_MEAN[::-1]).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.network.features(images - self.mean)
        per_prior = torch.cat([head(x) for head, x in zip(self.heads, maps, strict=True)], 1)
        logits, boxes, landmarks = torch.split(per_prior, list(_VALUES), dim=2)
        return torch.sigmoid(logits.squeeze(2)), boxes, landmarks


class DeployedHead(nn.Module):
    """One 1x1 conv for all that a level predicts: (B, C, H, W) -> (B, H * W * K, 15)."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        classes = class_difference(head.classes)
        parts = [classes, head.boxes, head.landmarks]
        priors = classes.out_channels
        self.conv = nn.Conv2d(classes.in_channels, priors * sum(_VALUES), 1)
        assert self.conv.bias is not None
        with torch.no_grad():
            for name, ours in (("weight", self.conv.weight), ("bias", self.conv.bias)):
                theirs = [getattr(part, name) for part in parts]
                rows = [t.reshape(priors, n, -1) for t, n in zip(theirs, _VALUES, strict=True)]
                ours.copy_(torch.cat(rows, 1).reshape(ours.shape))

    def forward(self, x: Tensor) -> Tensor:
        return _per_prior(self.conv(x))


class RefinedHead(nn.Module):
    """A head and the refinement of what it reads: head(x + pointwise(d)) = head(x) + (head o pointwise)(d).

    The two 1x1 convs on d are one, which makes what the head predicts and not a map as wide as x.
    """

    def __init__(self, head: DeployedHead, refinement: Refinement) -> None:
        super().__init__()
        self.conv, self.depthwise = head.conv, refinement.depthwise
        pointwise, bias = refinement.pointwise[0], head.conv.bias
        assert isinstance(pointwise, nn.Conv2d) and pointwise.bias is not None and bias is not None
        self.refined = nn.Conv2d(pointwise.in_channels, head.conv.out_channels, 1, bias=False)
        with torch.no_grad():
            ours = head.conv.weight.flatten(1)
            self.refined.weight.copy_((ours @ pointwise.weight.flatten(1))[..., None, None])
            bias.add_(ours @ pointwise.bias)

    def forward(self, x: Tensor) -> Tensor:
        return _per_prior(self.conv(x) + self.refined(self.depthwise(x)))


def _per_prior(predicted: Tensor) -> Tensor:
    return predicted.permute(0, 2, 3, 1).reshape(predicted.shape[0], -1, sum(_VALUES))


class DeployedSSH(nn.Module):
    """SSH with the last activation before the concatenation, where it fuses with the convs."""

    def __init__(self, ssh: SSH) -> None:
        super().__init__()
        self.ssh = ssh

    def forward(self, x: Tensor) -> Tensor:
        ssh = self.ssh
        x = ssh.reduce(x)
        shared = ssh.conv5_1(x)
        parts = (ssh.conv3(x), ssh.conv5_2(shared), ssh.conv7_3(ssh.conv7_2(shared)))
        return torch.cat([F.relu(part) for part in parts], dim=1)


class DeployedCBAM(nn.Module):
    """CBAM whose mean over channels is a product with the channel gate, not a reduction of the gated map.

    And whose maximum is mostly one of whole maps, which runtimes have quicker kernels for than for reductions.
    """

    def __init__(self, cbam: CBAM) -> None:
        super().__init__()
        self.cbam = cbam

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        mlp, spatial = self.cbam.channel.mlp, self.cbam.spatial
        gate = torch.sigmoid(mlp(x.mean((2, 3))) + mlp(x.amax((2, 3))))
        gated = x * gate[:, :, None, None]
        mean = torch.bmm((gate / channels)[:, None], x.reshape(batch, channels, -1))
        pooled = torch.cat((_largest(gated), mean.view(batch, 1, height, width)), dim=1)
        return gated * torch.sigmoid(spatial.bn(spatial.conv(pooled)))


def _largest(x: Tensor, parts: int = 4) -> Tensor:
    """The maximum over channels, (B, C, H, W) -> (B, 1, H, W)."""
    if x.shape[1] % parts == 0:
        x = functools.reduce(torch.maximum, x.chunk(parts, 1))
    return x.amax(1, keepdim=True)


class Scale(nn.Module):
    """A factor per map as a depthwise 1x1 conv, which blocked layouts keep and fuse with the sum after it."""

    def __init__(self, channels: int, factor: float) -> None:
        super().__init__()
        self.factor: Tensor
        self.register_buffer("factor", torch.full((channels, 1, 1, 1), factor))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.factor, groups=x.shape[1])


class DeployedFusion(nn.Module):
    """SiLU, depthwise 3x3, pointwise 1x1 times `factor`; the sigmoid's own input is a 1x1 conv.

    Written plainly, ONNX Runtime makes one operator of x * sigmoid(x) that it has in no blocked layout.
    """

    def __init__(self, fusion: FusionConv, factor: float) -> None:
        super().__init__()
        self.depthwise, self.pointwise = fusion.depthwise, fusion.pointwise
        multiply(self.pointwise, factor)
        self.same = Scale(self.depthwise.in_channels, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        active = x * torch.sigmoid(self.same(x))
        return self.pointwise(self.depthwise(active))  # type: ignore[no-any-return]


def _deployed_cell(cell: BiFPNCell, arriving: Factors, leaving: Factors) -> FusedCell:
    width = cell.p4_up.pointwise.out_channels
    return FusedCell(
        cell,
        arriving,
        leaving,
        projection=lambda block: block,
        scale=lambda factor: Scale(width, factor),
        fusion=DeployedFusion,
    )


def _swap_and_widen_stem(network: FeatherFace) -> None:
    """RGB order, and zero channels up to a block: kernels compute whole blocks, or leave the layout."""
    stem, first = network.backbone.stage1[0], network.backbone.stage1[1]
    assert isinstance(stem, ConvBN) and isinstance(first, SeparableConv)
    conv, depthwise, pointwise = stem[0], first[0][0], first[1][0]  # type: ignore[index]
    with torch.no_grad():
        conv.weight.copy_(conv.weight.flip(1))  # type: ignore[operator]
    missing = -conv.out_channels % _BLOCK  # type: ignore[operator]
    if missing:
        stem[0] = _widened(conv, rows=missing)  # type: ignore[arg-type]
        first[0][0] = _widened(depthwise, rows=missing)  # type: ignore[operator, arg-type]
        first[1][0] = _widened(pointwise, columns=missing)  # type: ignore[operator, arg-type]


def _widened(conv: nn.Conv2d, rows: int = 0, columns: int = 0) -> nn.Conv2d:
    """The conv with this many output (and, where depthwise, input) or input channels of zeros more."""
    depthwise = conv.groups > 1
    inputs, outputs = conv.in_channels + (rows if depthwise else columns), conv.out_channels + rows
    wider = nn.Conv2d(
        inputs,
        outputs,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        groups=outputs if depthwise else 1,
    )
    assert wider.bias is not None and conv.bias is not None
    with torch.no_grad():
        wider.weight.copy_(F.pad(conv.weight, (0, 0, 0, 0, 0, columns, 0, rows)))
        wider.bias.copy_(F.pad(conv.bias, (0, rows)))
    return wider
