"""int8, simulated: ranges that are watched first, then rounded to, and convs with int8 weights.

The two roundings are operators of their own: torch's cannot be exported where sizes are free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Activation = Callable[[Tensor], Tensor]

_LEVELS = 255
_LARGEST = 127
_PAIR = (2**15 - 1) / _LEVELS - 1
"""What two neighbouring weights of one sign may add up to, in steps: rounding may add a half to each."""


@torch.library.custom_op("featherface::round_map", mutates_args=())
def round_map(x: Tensor, scale: float, zero: int, least: int, most: int) -> Tensor:
    """`x` to the nearest of the steps `least` to `most`, of size `scale`, where `zero` stands for 0."""
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, least, most)


@torch.library.custom_op("featherface::round_weights", mutates_args=())
def round_weights(weight: Tensor, steps: Tensor) -> Tensor:
    """Weights (O, I, H, W) to 127 steps to each side of 0, whose sizes are `steps` (O,)."""
    zeros = torch.zeros_like(steps, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -_LARGEST, _LARGEST)


@round_map.register_fake
def _(x: Tensor, scale: float, zero: int, least: int, most: int) -> Tensor:
    return torch.empty_like(x)


@round_weights.register_fake
def _(weight: Tensor, steps: Tensor) -> Tensor:
    return torch.empty_like(weight)


class Rounding(nn.Module):
    """Keeps a map as it is, or watches its range, or rounds it to 256 levels over that range.

    `signed`: symmetric around zero, so that sums and products of two such maps need no zero points.
    `fixed`: the range, where it is known. `border`: a part of the network ends here (see `stay_float`).
    """

    def __init__(
        self, signed: bool = False, fixed: tuple[float, float] | None = None, border: bool = False
    ) -> None:
        super().__init__()
        self.signed, self.fixed, self.border = signed, fixed is not None, border
        self.low, self.high = fixed or (0.0, 0.0)
        self.seen = 0
        self.shared: list[Rounding] = [self]
        """Those with one range in common: what is concatenated, so that nothing is rounded again."""
        self.state = "idle"

    def forward(self, x: Tensor) -> Tensor:
        if self.state == "watching" and not self.fixed:
            self._watch(min(x.min().item(), 0.0), max(x.max().item(), 0.0))
        if self.state != "rounding":
            return x
        return round_map(x, *self.grid())  # type: ignore[no-any-return]

    def _watch(self, low: float, high: float) -> None:
        """Means of each picture's extremes: the largest value of all is far out, and all others would pay for it.

        The V2 of before lost 0.0 points of Easy and 0.5 of Hard so; with the extremes of all pictures 0.7 and 0.9.
        """
        self.seen += 1
        self.low += (low - self.low) / self.seen
        self.high += (high - self.high) / self.seen

    def grid(self) -> tuple[float, int, int, int]:
        """Scale, zero point, least and largest integer."""
        low, high = min(r.low for r in self.shared), max(r.high for r in self.shared)
        if self.signed:
            return max(-low, high, 1e-6) / _LARGEST, 0, -_LARGEST - 1, _LARGEST
        scale = max(high - low, 1e-6) / _LEVELS
        return scale, round(-low / scale), 0, _LEVELS


def share(*roundings: Rounding) -> None:
    """Give them one range."""
    for rounding in roundings:
        rounding.shared = list(roundings)


class QuantConv(nn.Module):
    """A conv with int8 weights, one scale per output channel; then an activation and, unless a sum follows, rounding.

    `plus`, a map of the output's shape, is added before the activation: runtimes do that within the conv.
    """

    def __init__(
        self, conv: nn.Conv2d, act: Activation | None = None, rounding: Rounding | None = None
    ) -> None:
        super().__init__()
        self.conv, self.act, self.rounding = conv, act, rounding
        self.state = "idle"
        self.steps = torch.empty(0)
        """(O,), of the weights as `calibrate` found them."""

    def forward(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        conv = self.conv
        weight = round_weights(conv.weight, self.steps) if self.state == "rounding" else conv.weight
        y = F.conv2d(x, weight, conv.bias, conv.stride, conv.padding, conv.dilation, conv.groups)
        if plus is not None:
            y = y + plus
        if self.act is not None:
            y = self.act(y)
        return y if self.rounding is None else self.rounding(y)


def calibrate(network: nn.Module, images: Iterable[NDArray[np.float32]]) -> None:
    """Watch all ranges on `images`, inputs (B, 3, H, W) of RGB 0-255; from then on the network rounds."""
    parts = [module for module in network.modules() if isinstance(module, Rounding | QuantConv)]
    live = [part for part in parts if part.state == "idle"]
    for part in live:
        part.state = "watching"
    with torch.inference_mode():
        for batch in images:
            network(torch.from_numpy(batch))
    for part in live:
        part.state = "rounding"
        if isinstance(part, QuantConv):
            part.steps = weight_steps(part.conv.weight.detach())


def stay_float(part: nn.Module) -> None:
    """Take the rounding out of a part of the network, but for its last maps, which an int8 part may read."""
    for module in part.modules():
        if isinstance(module, QuantConv) or (isinstance(module, Rounding) and not module.border):
            module.state = "float"


def weight_steps(weight: Tensor) -> Tensor:
    """The size of a step of each output channel's int8 weights, (O,), for weights (O, I, H, W).

    The largest weight is 127 steps, unless two neighbouring input channels would then overflow: processors without
    VNNI multiply 8 bits without sign by 8 bits with it and add two such products in 16 bits, which saturate.
    """
    steps = weight.flatten(1).abs().amax(1) / _LARGEST
    if weight.shape[1] > 1:
        odd = weight.shape[1] % 2
        pairs = torch.unflatten(F.pad(weight, (0, 0, 0, 0, 0, odd)), 1, (-1, 2))
        sums = torch.maximum(pairs.clamp(min=0).sum(2), (-pairs).clamp(min=0).sum(2))
        steps = torch.maximum(steps, sums.flatten(1).amax(1) / _PAIR)
    return steps.clamp(min=1e-10)
