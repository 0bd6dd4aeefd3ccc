"""Puts a recipe together: data, starting point, teacher, precision; then hands over to the loop."""

from __future__ import annotations

import copy
import time

import torch
from torch import Tensor

from featherface.errors import ConfigError
from featherface.model.network import FeatherFace
from featherface.train.checkpoint import check_folder
from featherface.train.config import TrainConfig
from featherface.train.data import CropDataset
from featherface.train.loading import Batch, collate
from featherface.train.loop import AfterStep, Outcome, Report, Trainer, Validate
from featherface.train.parameters import check_trainable
from featherface.train.start import check_start, starting_point
from featherface.train.task import TrainTask
from featherface.train.teacher import Exporter, check_teaches, make_teacher, normalise

_SURGERY_PICTURES = 24
_PROBE_CROPS = 4


def run_stage(
    config: TrainConfig,
    *,
    distilled: bool,
    resume: bool,
    export: Exporter,
    validate: Validate | None,
    report: Report,
    after_step: AfterStep | None = None,
) -> Outcome:
    """Train one stage. ConfigError, DataError and ModelError come before the first step."""
    check_folder(config, resume)
    check_start(config.init, config.model, config.layout)
    check_trainable(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    dataset = CropDataset.of(config.data, config.seed)
    report(f"{len(dataset.pictures)} pictures, {sum(len(p.labels) for p in dataset.pictures)} faces")
    teacher = make_teacher(config.distill, export, torch.get_num_threads()) if distilled else None
    model = start_of(config, dataset)
    if teacher is not None:
        check_teaches(teacher, config.distill.teacher, model.config, config.data.crop_size)
    # Last, because it may take an hour.
    broken = dataset.cache.prepare([p.path for p in [*dataset.pictures, *dataset.negatives]], lambda: None)
    if broken:
        raise ConfigError(f"{len(broken)} pictures cannot be read, the first: {broken[0]}")

    def make_task(network: FeatherFace, bf16: bool | None) -> TrainTask:
        decided = _use_bf16(config, network, dataset, report) if bf16 is None else bf16
        return TrainTask(config, network, teacher, decided)

    return Trainer(config, model, dataset, make_task, validate, report, after_step).run(resume)


def start_of(config: TrainConfig, dataset: CropDataset) -> FeatherFace:
    """What a recipe's training begins from; surgery, where it needs some, looks at the first crops."""
    return starting_point(config.init, config.model, lambda: normalised_crops(dataset), config.layout)


def normalised_crops(dataset: CropDataset, count: int = _SURGERY_PICTURES) -> list[Tensor]:
    """The first crops as inputs of a network, (1, 3, S, S) each: what weight surgery is fitted on."""
    return [normalise(collate([dataset[i]]).images) for i in range(count)]


def _use_bf16(config: TrainConfig, network: FeatherFace, dataset: CropDataset, report: Report) -> bool:
    """Time one step each way: without the instructions for it, bf16 is ten times slower than fp32."""
    if config.precision != "auto":
        return config.precision == "bf16"
    batch = collate([dataset[i] for i in range(_PROBE_CROPS)])
    seconds = {bf16: _time_step(config, copy.deepcopy(network), batch, bf16) for bf16 in (False, True)}
    report(f"one step of {_PROBE_CROPS} crops: fp32 {seconds[False]:.2f} s, bf16 {seconds[True]:.2f} s")
    return seconds[True] < 0.9 * seconds[False]


def _time_step(config: TrainConfig, network: FeatherFace, batch: Batch, bf16: bool) -> float:
    task = TrainTask(config, network, None, bf16)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        loss, _parts = task(network, batch, 1)
        loss.backward()  # type: ignore[no-untyped-call]
        best = min(best, time.perf_counter() - start)
    return best
