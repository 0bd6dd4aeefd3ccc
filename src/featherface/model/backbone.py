"""MobileNetV1 x0.25 (Howard 2017) with LeakyReLU, read at strides 8, 16 and 32."""

from __future__ import annotations

from torch import Tensor, nn

from featherface.model.layers import ConvBN, Refinement, SeparableConv

STRIDE8_BLOCKS = 2
"""The last blocks of stage 1, at stride 8; as many before them are at stride 4, and those before at stride 2."""


class MobileNetV1(nn.Module):
    """Three stages; `forward` gives maps (B, 64, H/8, W/8), (B, 128, H/16, W/16), (B, 256, H/32, W/32)."""

    def __init__(self, widths: tuple[tuple[int, ...], ...], refine: bool = False) -> None:
        super().__init__()
        stage1, stage2, stage3 = widths
        strided = (len(stage1) - 2 * STRIDE8_BLOCKS, len(stage1) - STRIDE8_BLOCKS)
        blocks: list[nn.Module] = [ConvBN(3, stage1[0], stride=2)]
        for i in range(1, len(stage1)):
            blocks.append(SeparableConv(stage1[i - 1], stage1[i], 2 if i in strided else 1))
        self.stage1 = nn.Sequential(*blocks)
        self.stage2 = _stage(stage1[-1], stage2)
        self.stage3 = _stage(stage2[-1], stage3)
        self.detail = Refinement(stage1[-STRIDE8_BLOCKS - 1], stage1[-1], stride=2) if refine else None
        self.context = Refinement(stage2[-1], stage2[-1]) if refine else None
        self.out_channels = (stage1[-1], stage2[-1], stage3[-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        c2: Tensor = self.stage1[:-STRIDE8_BLOCKS](x)
        c3: Tensor = self.stage1[-STRIDE8_BLOCKS:](c2)
        if self.detail is not None:
            c3 = c3 + self.detail(c2)
        c4: Tensor = self.stage2(c3)
        if self.context is not None:
            c4 = c4 + self.context(c4)
        return [c3, c4, self.stage3(c4)]


def _stage(in_channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Separable convs, the first of stride 2."""
    inputs = (in_channels, *widths[:-1])
    return nn.Sequential(
        *(
            SeparableConv(i, o, 2 if k == 0 else 1)
            for k, (i, o) in enumerate(zip(inputs, widths, strict=True))
        )
    )
