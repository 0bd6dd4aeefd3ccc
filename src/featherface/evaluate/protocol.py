"""Evaluation protocols: how a detector is run. Named in every result, because they alone move AP by tens of points."""

from __future__ import annotations

from dataclasses import dataclass

from featherface.errors import ConfigError

MAX_SCALE = 16
VGA = 640
_SCALES = (0.5, 1.0, 1.5, 2.0)


@dataclass(frozen=True)
class Protocol:
    """One way to run a detector over a set."""

    name: str
    long_side: int | None = None
    """Resize so that the longer side has this length; None keeps the original size."""
    scales: tuple[float, ...] | None = (1.0,)
    """Relative to that; None for the detector's own choice, the size itself and an overview of tall pictures."""
    flip: bool = False
    agree: bool = False
    """Scores are lowered where the sizes do not agree."""
    score_threshold: float = 0.02
    iou_threshold: float = 0.4
    max_detections: int = 750

    def __post_init__(self) -> None:
        if self.long_side is not None and self.long_side < 1:
            raise ConfigError(f"long side {self.long_side}: must be at least 1")
        if self.scales is None:
            return
        if not self.scales or any(not 0 < scale <= MAX_SCALE for scale in self.scales):
            given = ", ".join(f"{scale:g}" for scale in self.scales)
            raise ConfigError(f"scales {given}: each must be over 0 and at most {MAX_SCALE}")

    def check_fits(self, model: str, input_size: tuple[int, int] | None) -> None:
        """ConfigError when pictures of this protocol can be larger than the one size that a model takes.

        The detector would shrink them, and the figures would be those of another protocol than they say.
        """
        if input_size is None:
            return
        side = min(input_size)
        if self.long_side is None or round(self.long_side * max(self.scales or (1.0,))) > side:
            raise ConfigError(
                f"{model}: takes pictures of {input_size[0]}x{input_size[1]} only, larger ones would be shrunk, which "
                f"is not protocol {self.name}; evaluate it with --long-side {side}"
                f"{' or --protocol vga' if side >= VGA else ''}, or take a file of any input size"
            )

    def describe(self) -> str:
        """One line for tables and pages."""
        size = f"long side {self.long_side}" if self.long_side else "original size"
        if self.scales is None:
            scales = "tall pictures also as an overview"
        elif self.scales == (1.0,):
            scales = "one scale"
        else:
            scales = f"scales {', '.join(f'{s:g}' for s in self.scales)}"
        more = (", flip" if self.flip else "") + (", scores by agreement" if self.agree else "")
        return (
            f"{self.name}: {size}, {scales}{more}, score over {self.score_threshold:g}, "
            f"NMS {self.iou_threshold:g}, at most {self.max_detections}"
        )


PROTOCOLS: dict[str, Protocol] = {
    "original": Protocol("original"),
    "detect": Protocol("detect", scales=None),
    "vga": Protocol("vga", long_side=VGA),
    "multiscale": Protocol("multiscale", scales=_SCALES, flip=True),
    "agreement": Protocol("agreement", scales=_SCALES, flip=True, agree=True),
}


def protocol(name: str) -> Protocol:
    """The protocol of that name; ConfigError names the ones there are."""
    if name not in PROTOCOLS:
        raise ConfigError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
