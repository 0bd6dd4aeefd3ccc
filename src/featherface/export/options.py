"""What can be exported to where: the formats, their limits, and one export's options, checked at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from featherface.errors import ConfigError
from featherface.export.layers import LITERT_GROUPS, check_groups
from featherface.images import PAD_MULTIPLE
from featherface.runtimes.card import OPENVINO_ONNX

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class Format:
    """A file format with its runtime, and what it cannot do."""

    name: str
    runtime: str
    """What the runtime is called."""
    suffix: str
    snippet: str
    """The example in the runtime's own language, under `templates/`."""
    dynamic: bool = True
    """Takes any input size; else 640x640 unless told otherwise."""
    dynamic_decode: bool = True
    """Decodes at any input size; else --with-decode needs a fixed one."""
    nms: bool = False
    deformable: bool = True
    fp16: bool = False
    int8: bool = False
    int8_suffix: str = ""
    """Of an int8 file, where it is another."""
    float_layers: tuple[str, ...] = ("backbone.stage1", "heads")
    """Groups of layers (see `layers`) that int8 files keep in float, by measurement (docs/deployment.md)."""
    extra: str = "train"
    """What to install featherface with, so that its converter is there."""


FORMATS: dict[str, Format] = {
    "onnx": Format("onnx", "ONNX Runtime", ".onnx", "onnx.py", nms=True, fp16=True, int8=True),
    "openvino": Format(
        "openvino",
        "OpenVINO",
        ".openvino.xml",
        "openvino.py",
        nms=True,
        fp16=True,
        int8=True,
        int8_suffix=OPENVINO_ONNX,
        float_layers=(),
        extra="openvino",
    ),
    "ncnn": Format(
        "ncnn", "ncnn", ".ncnn.param", "ncnn.cpp", dynamic_decode=False, fp16=True, extra="ncnn-export"
    ),
    "litert": Format(
        "litert",
        "LiteRT",
        ".tflite",
        "litert.kt",
        dynamic=False,
        deformable=False,
        fp16=True,
        int8=True,
        extra="litert-export",
    ),
    "torchscript": Format("torchscript", "libtorch", ".torchscript.pt", "torchscript.cpp"),
    "executorch": Format(
        "executorch",
        "ExecuTorch",
        ".pte",
        "executorch.cpp",
        dynamic=False,
        deformable=False,
        int8=True,
        # XNNPACK refuses the scales of Coordinate Attention's convs, whose outputs hardly vary.
        float_layers=("backbone.stage1", "heads", "neck_attention"),
        extra="executorch",
    ),
    "coreml": Format(
        "coreml",
        "Core ML",
        ".mlpackage",
        "coreml.swift",
        dynamic=False,
        deformable=False,
        fp16=True,
        extra="coreml",
    ),
}

DEFAULT_SIZE = (640, 640)


@dataclass(frozen=True)
class Options:
    """One export. `input_size` None means any size. Raises ConfigError for what the format cannot do."""

    format: Format
    input_size: tuple[int, int] | None = None
    """Height and width, multiples of 32."""
    precision: Precision = "fp32"
    with_decode: bool = False
    """Priors and decoding inside: boxes and landmarks in input pixels come out."""
    with_nms: bool = False
    """Suppression inside too, for one picture; implies `with_decode`."""
    calibration: Path | None = None
    """Folder of pictures for int8."""
    calibration_images: int = 100
    float_layers: tuple[str, ...] | None = None
    """int8: groups of layers (see `layers`) that stay float; None for what measured best."""
    score_threshold: float = 0.5
    iou_threshold: float = 0.4
    max_detections: int = 750

    def __post_init__(self) -> None:
        kind = self.format
        if self.input_size is not None and any(s < PAD_MULTIPLE or s % PAD_MULTIPLE for s in self.input_size):
            height, width = self.input_size
            raise ConfigError(f"input size {height}x{width}: both sides must be multiples of {PAD_MULTIPLE}")
        if self.input_size is None and not kind.dynamic:
            raise ConfigError(f"{kind.runtime} files have one input size; name it, such as 640x640")
        if self.with_nms and not kind.nms:
            raise ConfigError(
                f"{kind.runtime} has no suppression of its own that this exports; use --with-decode"
            )
        if self.decodes and self.input_size is None and not kind.dynamic_decode:
            raise ConfigError(f"{kind.runtime}: --with-decode needs a fixed input size, such as 640x640")
        if self.precision == "int8" and not kind.int8:
            able = ", ".join(name for name, other in FORMATS.items() if other.int8)
            raise ConfigError(f"{kind.runtime}: no int8 export; there is for {able}")
        if self.precision == "fp16" and not kind.fp16:
            able = ", ".join(name for name, other in FORMATS.items() if other.fp16)
            raise ConfigError(f"{kind.runtime}: no fp16 export; there is for {able}")
        if self.precision == "int8" and self.calibration is None:
            raise ConfigError("int8 needs pictures to calibrate on: --calibration DIR")
        if self.precision != "int8" and (self.calibration or self.float_layers is not None):
            raise ConfigError("calibration pictures and float layers are for int8: --int8")
        check_groups(self.stays_float, LITERT_GROUPS if kind.name == "litert" else None)
        for name, value in (("score", self.score_threshold), ("IoU", self.iou_threshold)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} threshold {value}: must lie between 0 and 1")
        if self.max_detections < 1:
            raise ConfigError(f"max detections {self.max_detections}: must be at least 1")
        if self.calibration_images < 1:
            raise ConfigError(f"calibration images {self.calibration_images}: must be at least 1")

    @property
    def stays_float(self) -> tuple[str, ...]:
        """int8: the groups of layers that stay float."""
        return self.format.float_layers if self.float_layers is None else self.float_layers

    @property
    def decodes(self) -> bool:
        """Whether boxes, not deltas, come out."""
        return self.with_decode or self.with_nms

    @property
    def takes_bytes(self) -> bool:
        """Whether pictures go in as they lie in memory, (B, H, W, 3) in uint8, which saves turning them into that."""
        return self.format.name == "openvino" and self.precision == "int8"

    @property
    def suffix(self) -> str:
        """Of the file."""
        return (self.precision == "int8" and self.format.int8_suffix) or self.format.suffix

    def file_name(self, model: str) -> str:
        """Says what is special: `v2.onnx`, `v2-int8.onnx`, `v2-640x640.tflite`."""
        parts = [model]
        if self.precision != "fp32":
            parts.append(self.precision)
        if self.decodes:
            parts.append("nms" if self.with_nms else "decode")
        if self.input_size is not None:
            parts.append(f"{self.input_size[0]}x{self.input_size[1]}")
        return "-".join(parts) + self.suffix


def find_format(name: str) -> Format:
    """The format of that name; ConfigError names the ones there are."""
    if name not in FORMATS:
        raise ConfigError(f"no format {name!r}; there are {', '.join(FORMATS)}")
    return FORMATS[name]


def parse_size(text: str) -> tuple[int, int] | None:
    """`640x480` (height x width) to (640, 480), `dynamic` to None; ConfigError for anything else."""
    if text == "dynamic":
        return None
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ConfigError(f"input size {text!r}: expected HEIGHTxWIDTH, such as 640x640, or dynamic")
    return int(height), int(width)
