"""Evaluation protocols: how a detector is run. Named in every result, because they alone move AP by tens of points."""

from __future__ import annotations

from dataclasses import dataclass

from featherface.errors import ConfigError


@dataclass(frozen=True)
class Protocol:
    """One way to run a detector over a set."""

    name: str
    long_side: int | None = None
    """Resize so that the longer side has this length; None keeps the original size."""
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    score_threshold: float = 0.02
    iou_threshold: float = 0.4
    max_detections: int = 750

    def describe(self) -> str:
        """One line for tables and pages."""
        size = f"long side {self.long_side}" if self.long_side else "original size"
        scales = (
            "one scale" if self.scales == (1.0,) else f"scales {', '.join(f'{s:g}' for s in self.scales)}"
        )
        flip = ", flip" if self.flip else ""
        return (
            f"{self.name}: {size}, {scales}{flip}, score over {self.score_threshold:g}, "
            f"NMS {self.iou_threshold:g}, at most {self.max_detections}"
        )


PROTOCOLS: dict[str, Protocol] = {
    "original": Protocol("original"),
    "vga": Protocol("vga", long_side=640),
    "multiscale": Protocol("multiscale", scales=(0.5, 1.0, 1.5, 2.0), flip=True),
}


def protocol(name: str) -> Protocol:
    """The protocol of that name; ConfigError names the ones there are."""
    if name not in PROTOCOLS:
        raise ConfigError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
