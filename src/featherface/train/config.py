"""A training recipe: frozen values read from TOML, checked before anything starts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from featherface.errors import ConfigError
from featherface.recipe import load_recipe


@dataclass(frozen=True)
class DataSource:
    """One labelled set that takes part in the training."""

    labels: str
    """Label file or folder, in any format `featherface.annotations` reads."""
    weight: float = 1.0
    """How often a crop comes from this set, relative to the others."""
    format: str = "auto"
    """The label format; `auto` finds out."""


@dataclass(frozen=True)
class DataConfig:
    """Where crops come from and how they are varied."""

    sources: tuple[DataSource, ...] = ()
    """The labelled sets, mixed by weight."""
    negatives: str = ""
    """A folder of pictures that hold no face, or nothing."""
    negative_rate: float = 0.02
    """Share of crops taken from the negatives."""
    crop_size: int = 384
    """Side of the square training crop, in pixels; a multiple of 32."""
    native_rate: float = 0.5
    """Share of crops near the picture's own scale; the others draw a face size log-uniformly."""
    native_scale: tuple[float, float] = (0.6, 1.6)
    """Range of scales near the picture's own."""
    face_size: tuple[float, float] = (8.0, 340.0)
    """Range from which the drawn face's size in the crop comes, in pixels."""
    max_enlarge: float = 2.0
    """A crop round a face enlarges its picture no more than this, unless it would fill less than half of the window."""
    redraws: int = 0
    """Other pictures tried, at most, when a drawn face size would enlarge one by more than that."""
    mosaic_rate: float = 0.3
    """Share of crops composed of four smaller ones."""
    fill_from: int = 0
    """Squares of at least this side, pixels, that a picture leaves free beside it, above or below, are filled with
    crops of others, if it is not turned; 0 leaves all padding empty."""
    crowd_power: float = 0.3
    """A picture with n faces is drawn in proportion to n to this power."""
    min_face: float = 6.0
    """Faces whose longer side is shorter than this after the crop are ignored, in pixels."""
    rotate_rate: float = 0.2
    """Share of crops that are turned."""
    rotate_degrees: float = 20.0
    """The largest turn, in degrees."""
    occlude_rate: float = 0.0
    """Share of the faces from 16 pixels on that are partly covered."""
    darken_rate: float = 0.0
    """Share of crops that look as if taken with too little light."""
    cache_dir: str = ".cache/images"
    """Decoded pictures are kept here."""
    cache_gb: float = 12.0
    """At most this much is kept, in gigabytes; 0 turns the cache off."""
    workers: int = 1
    """Processes that load and augment."""


@dataclass(frozen=True)
class LossConfig:
    """Which priors learn what, and how much each term counts."""

    assignment: Literal["multibox", "dynamic"] = "dynamic"
    """`multibox`: IoU matching with hard negatives (Liu 2016); `dynamic`: SimOTA-like (Ge 2021)."""
    classification: Literal["cross_entropy", "quality_focal"] = "quality_focal"
    """Softmax cross-entropy with hard negatives, or quality focal loss (Li 2020) over all priors."""
    quality_power: float = 0.5
    """Quality focal target is IoU to this power; 0 makes all targets one."""
    box: Literal["smooth_l1", "ciou", "eiou"] = "eiou"
    """Box loss: smooth L1 on deltas (Liu 2016), CIoU (Zheng 2020) or EIoU (Zhang 2021) on boxes."""
    landmark: Literal["smooth_l1", "wing"] = "smooth_l1"
    """Landmark loss on deltas."""
    class_weight: float = 1.0
    """Weight of the class term."""
    box_weight: float = 2.0
    """Weight of the box term."""
    landmark_weight: float = 0.5
    """Weight of the landmark term."""
    negatives_per_positive: int = 7
    """Hard negatives kept for every positive prior (cross-entropy only)."""
    overlap_threshold: float = 0.35
    """IoU from which a prior is positive (multibox, and `dense_prior`)."""
    dense_prior: float = 0.0
    """Background priors of at least this side, pixels, that meet a face at `overlap_threshold` learn it too, as they
    do in a MultiBox teacher (dynamic only). 0 leaves it at the few chosen."""
    large_prior: float = 32.0
    """Priors of at least this side, in pixels, are weighted by `large_weight`."""
    large_weight: float = 1.0
    """Weight of the faces that large priors learn: tiny faces are so many that they outweigh the others."""
    crowd_damping: float = 0.0
    """A crop with n positive priors counts in proportion to n to one minus this power."""
    spare_overlap: float = 0.0
    """Background priors whose box meets a face at this IoU are not taught as background; 0 teaches all."""
    candidate_ratio: float = 2.6
    """A prior may take a face at most this many times larger or smaller (dynamic only)."""
    candidate_radius: float = 0.75
    """A prior may take a face whose centre is this many strides away, or inside the face (dynamic only)."""


@dataclass(frozen=True)
class DistillConfig:
    """What the student learns from the teacher."""

    teacher: str = ""
    """A published checkpoint (.pth), our weights (.safetensors) or an exported .onnx file."""
    temperature: float = 4.0
    """Softens both class distributions."""
    alpha: float = 0.7
    """Loss = (1 - alpha) task + alpha distillation."""
    final_alpha: float = -1.0
    """Alpha goes from `alpha` to this in equal steps over the stage: a teacher leads, the labels have the last word.
    Under 0 it stays where it is."""
    every: int = 1
    """Ask the teacher on every n-th batch only."""
    box_weight: float = 1.0
    """Weight of the box term within the distillation loss, where the class term has 1."""
    final_box_weight: float = -1.0
    """The box term's weight goes to this as alpha goes to `final_alpha`; under 0 it stays where it is."""
    landmark_weight: float = 0.5
    """Weight of the landmark term within the distillation loss."""
    final_landmark_weight: float = -1.0
    """As `final_box_weight`, of the landmark term."""
    imitation_weight: float = 0.0
    """Weight of imitating the maps that the teacher's heads read (Romero 2015); needs `runtime = "torch"`."""
    smallest_prior: float = 0.0
    """Ask the teacher at priors of at least this side only, pixels: one that is better at large faces alone."""
    weigh_by: Literal["teacher", "either"] = "teacher"
    """What weighs a prior's class term: the teacher's score, or the larger of both, which unteaches false alarms."""
    runtime: Literal["onnx", "torch"] = "onnx"
    """What the teacher runs in; a deformable one is several times faster in ONNX Runtime on a CPU."""


@dataclass(frozen=True)
class TrainConfig:
    """One training: a complete one-cycle stage."""

    name: str = "run"
    """Names the output folder."""
    model: str = "v2"
    """The preset to train; `init` takes the layout of the weights that `init` names."""
    layout: dict[str, Any] = field(default_factory=dict)
    """What differs from that layout, by the names of `ModelConfig`: `context_inputs = [32, 0, 0]`."""
    init: str = "random"
    """`random`, `imagenet:<file>`, `published:<file>`, a weights file (.safetensors), or a model that ships (`v2`)."""
    output: str = "runs"
    """Folder of the runs."""
    seed: int = 0
    """Decides crops, order and fresh weights."""
    batch_size: int = 32
    """Crops a step, over all processes."""
    epochs: float = 250.0
    """Passes: as many crops as there are pictures, times this."""
    steps: int = 0
    """Optimizer steps; when not 0 it takes the place of epochs."""
    hours: float = 0.0
    """Fit one complete cycle into this time; when not 0 it takes the place of epochs and steps."""
    max_lr: float = 1e-4
    """Peak of the one-cycle schedule (Smith 2018)."""
    warmup: float = 0.1
    """Share of the steps in which the rate rises."""
    final_div: float = 100.0
    """The rate ends at its start divided by this (and starts at a 25th of the peak)."""
    weight_decay: float = 5e-4
    """AdamW's, on conv and linear weights only."""
    clip_norm: float = 5.0
    """Gradients are scaled down to this norm; 0 turns it off."""
    ema: float = 0.998
    """Decay of the moving average of the weights that is validated and kept."""
    fold_batch_norm: bool = False
    """Train with batch norm folded into the convs: a third more crops a second, for fine-tuning only.

    Done in any case where the start's norms have no statistics, as in what such a training wrote."""
    freeze_stem: bool = False
    """Keep the backbone's first stage as it is up to stride 4."""
    trainable: tuple[str, ...] = ()
    """Modules that learn, by name (`heads.2`); all others stay as they are. Nothing named: all learn."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` times both on this machine and takes the faster."""
    threads: int = 0
    """CPU threads for the network; 0 leaves torch's choice."""
    checkpoint_minutes: float = 5.0
    """A resumable checkpoint is written this often."""
    validate_minutes: float = 20.0
    """Validation AP is measured this often, and at the end."""
    validation: str = ""
    """A folder in the WIDER FACE layout for the validation AP, or nothing."""
    validation_images: int = 0
    """How many validation pictures, evenly spread; 0 means all."""
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    distill: DistillConfig = field(default_factory=DistillConfig)

    def __post_init__(self) -> None:
        data, loss, distill = self.data, self.loss, self.distill
        _check_finite("", self)
        rates = [key.name for key in dataclasses.fields(data) if key.name.endswith("_rate")]
        checks = [
            (bool(self.name.strip("./")), "name must not be empty"),
            (self.batch_size >= 1, "batch_size must be at least 1"),
            (self.steps >= 0 and self.hours >= 0, "steps and hours must be at least 0"),
            (self.threads >= 0 and data.workers >= 0, "threads and data.workers must be at least 0"),
            *((0 <= getattr(data, name) <= 1, f"data.{name} must lie between 0 and 1") for name in rates),
            (0 < data.native_scale[0] <= data.native_scale[1], "data.native_scale: smallest, then largest"),
            (data.min_face >= 0, "data.min_face must be at least 0"),
            (data.fill_from >= 0, "data.fill_from must be at least 0"),
            (data.max_enlarge > 0, "data.max_enlarge must be over 0"),
            (data.cache_gb >= 0, "data.cache_gb must be at least 0"),
            (loss.candidate_ratio >= 1, "loss.candidate_ratio must be at least 1"),
            (self.data.crop_size % 32 == 0 and self.data.crop_size >= 64, "data.crop_size: a multiple of 32"),
            (self.max_lr > 0, "max_lr must be over 0"),
            (0 < self.warmup < 1, "warmup must lie between 0 and 1"),
            (0 <= self.ema < 1, "ema must lie in [0, 1)"),
            (0 <= self.distill.alpha <= 1, "distill.alpha must lie in [0, 1]"),
            (self.distill.final_alpha <= 1, "distill.final_alpha must be at most 1"),
            (self.distill.temperature > 0, "distill.temperature must be over 0"),
            (self.distill.every >= 1, "distill.every must be at least 1"),
            (
                self.epochs > 0 or self.steps > 0 or self.hours > 0,
                "one of epochs, steps, hours must be over 0",
            ),
            (all(s.weight > 0 for s in self.data.sources), "data.sources: weight must be over 0"),
            (self.data.redraws >= 0, "data.redraws must be at least 0"),
            (0 <= self.seed < 2**63, "seed must be from 0 to 2^63 - 1"),
            (self.final_div > 0, "final_div must be over 0"),
            (self.weight_decay >= 0 and self.clip_norm >= 0, "weight_decay and clip_norm must be at least 0"),
            (self.checkpoint_minutes >= 0, "checkpoint_minutes must be at least 0"),
            (self.validate_minutes >= 0, "validate_minutes must be at least 0"),
            (self.validation_images >= 0, "validation_images must be at least 0"),
            (data.crowd_power >= 0, "data.crowd_power must be at least 0"),
            (data.rotate_degrees >= 0, "data.rotate_degrees must be at least 0"),
            (loss.dense_prior >= 0, "loss.dense_prior must be at least 0"),
            (
                not (loss.dense_prior and loss.assignment == "multibox"),
                'loss.dense_prior is for assignment = "dynamic": "multibox" has all such priors',
            ),
            (loss.candidate_radius > 0, "loss.candidate_radius must be over 0"),
            (loss.quality_power >= 0, "loss.quality_power must be at least 0"),
            (loss.negatives_per_positive >= 0, "loss.negatives_per_positive must be at least 0"),
            (0 < loss.overlap_threshold < 1, "loss.overlap_threshold must lie between 0 and 1"),
            (
                min(loss.class_weight, loss.box_weight, loss.landmark_weight) >= 0,
                "loss: class_weight, box_weight and landmark_weight must be at least 0",
            ),
            (
                min(distill.box_weight, distill.landmark_weight, distill.imitation_weight) >= 0,
                "distill: box_weight, landmark_weight and imitation_weight must be at least 0",
            ),
            (
                not distill.imitation_weight or distill.runtime == "torch",
                'distill.imitation_weight needs runtime = "torch": in ONNX Runtime the maps stay inside',
            ),
            (self.loss.large_weight > 0, "loss.large_weight must be over 0"),
            (0 <= self.loss.crowd_damping <= 1, "loss.crowd_damping must lie between 0 and 1"),
            (0 <= self.loss.spare_overlap < 1, "loss.spare_overlap must lie in [0, 1)"),
            (0 < self.data.face_size[0] < self.data.face_size[1], "data.face_size: smallest, then largest"),
        ]
        for holds, message in checks:
            if not holds:
                raise ConfigError(message)


def _check_finite(where: str, values: Any) -> None:
    """ConfigError for a number that is none: TOML knows nan and inf."""
    for key in dataclasses.fields(values):
        value = getattr(values, key.name)
        for part in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(part):
                _check_finite(f"{where}{key.name}.", part)
            elif isinstance(part, float) and not math.isfinite(part):
                raise ConfigError(f"{where}{key.name} = {value}: must be a finite number")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a training recipe (see `featherface.recipe`); ConfigError names the file and the key."""
    return load_recipe(TrainConfig, path, overrides)


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The recipe as plain values, for logs and cards."""
    return dataclasses.asdict(config)
