"""The loop: steps, schedule, moving average, checkpoints, validation. One call is one complete stage."""

from __future__ import annotations

import contextlib
import copy
import math
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import AdamW

from featherface.atomic import atomic_path, write_text
from featherface.errors import TrainingError
from featherface.lock import held
from featherface.model.fold import folded, has_stand_ins
from featherface.model.network import FeatherFace
from featherface.model.weights import save_weights, unfolded
from featherface.train import distributed
from featherface.train.checkpoint import CHECKPOINT, RECIPE, Progress, check_folder, restore, save, tidy
from featherface.train.config import TrainConfig, to_dict
from featherface.train.data import CropDataset
from featherface.train.depthwise import quicken
from featherface.train.loading import Batch, load_batches
from featherface.train.logs import RunLog
from featherface.train.parameters import freeze, parameter_groups
from featherface.train.schedule import moving_average, one_cycle
from featherface.train.task import TrainTask

Validate = Callable[[FeatherFace], dict[str, float]]
"""Measures a network; returns at least ap_hard, or ap_all where the set has no such subsets."""

Report = Callable[[str], None]

AfterStep = Callable[[FeatherFace, int], None]
"""May change the network in training, given how many steps it has had (soft pruning does)."""

MakeTask = Callable[[FeatherFace, bool | None], TrainTask]
"""The task for a network; whether it computes in bf16, where that is decided already."""

_LOG_EVERY = 20
_PAUSE = 20
"""A step this many times longer than the mean was a pause (SIGSTOP, a sleeping laptop), not training."""
_ENDLESS = 10_000_000


@dataclass(frozen=True)
class Outcome:
    """How a stage ended."""

    weights: Path
    steps: int
    finished: bool
    validation: dict[str, float]


class Trainer:
    """One stage of one recipe in the folder `output/name`."""

    def __init__(
        self,
        config: TrainConfig,
        model: FeatherFace,
        dataset: CropDataset,
        make_task: MakeTask,
        validate: Validate | None,
        report: Report,
        after_step: AfterStep | None = None,
    ) -> None:
        self.config, self.dataset, self.validate, self.report = config, dataset, validate, report
        self.after_step = after_step
        self.rank, self.processes = distributed.start()
        self.folder = Path(config.output) / config.name
        self.folds = config.fold_batch_norm or has_stand_ins(model)
        if self.folds and not config.fold_batch_norm and self.rank == 0:
            report(
                "trained with batch norm folded (fold_batch_norm): the start's has no statistics of its own"
            )
        self.model = (folded(model) if self.folds else model).train()
        quicken(self.model)
        self.model.to(device=distributed.device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
        freeze(self.model, config)
        self.average = moving_average(self.model, config.ema)
        self.optimizer = AdamW(parameter_groups(self.model, config.weight_decay), lr=config.max_lr)
        self.make_task = make_task
        self.progress = Progress()
        self.total_steps = _total_steps(config, len(dataset.pictures))
        self._stop = threading.Event()

    def run(self, resume: bool = False) -> Outcome:
        """Train to the end of the stage, or until SIGTERM or SIGINT; both leave a checkpoint.

        DataError when another process trains in the same folder.
        """
        with held(self.folder) if self.rank == 0 else contextlib.nullcontext():
            return self._run(resume)

    def _run(self, resume: bool) -> Outcome:
        check_folder(self.config, resume)  # again: decoding the pictures may have taken an hour
        if self.rank == 0:
            tidy(self._checkpoint)
        if resume and self._checkpoint.is_file():
            self.progress = restore(self._checkpoint, self.config, self.model, self.average, self.optimizer)
            self.report(f"resumed at step {self.progress.step}")
        elif resume:
            self.report(f"{self.folder}: stopped before its first checkpoint; begun anew")
        self._check_data()
        self.task = self._task()
        log = RunLog(self.folder, self.progress.step) if self.rank == 0 else None
        if self.rank == 0:
            write_text(self.folder / RECIPE, repr(to_dict(self.config)) + "\n")
        previous = {s: signal.signal(s, self._ask_to_stop) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            self._steps(log)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        finished = self._part() >= 1
        measured = self._finish(log, finished)
        if log is not None:
            log.close()
        distributed.stop()
        return Outcome(self.folder / "last.safetensors", self.progress.step, finished, measured)

    def _check_data(self) -> None:
        digest = self.dataset.digest()
        if self.progress.data not in (None, digest):
            raise TrainingError(f"{self._checkpoint}: pictures or labels are others than when it began")
        self.progress.data = digest

    def _task(self) -> TrainTask:
        """The task, in the precision and with the teacher that the run has had so far."""
        task, progress = self.make_task(self.model, self.progress.bf16), self.progress
        taught = task.teacher is not None
        if progress.distilled not in (None, taught):
            command = "distill" if progress.distilled else "train"
            raise TrainingError(
                f"{self._checkpoint}: go on with the command that began it, featherface {command}"
            )
        task.bf16 = distributed.as_the_first(task.bf16)
        progress.bf16, progress.distilled = task.bf16, taught
        return task

    @property
    def _checkpoint(self) -> Path:
        return self.folder / CHECKPOINT

    def _ask_to_stop(self, *_: object) -> None:
        self._stop.set()

    def _part(self) -> float:
        """How much of the stage is done, 0 to 1: by time when the recipe gives hours, else by steps."""
        if self.config.hours:
            return self.progress.seconds / (self.config.hours * 3600)
        return self.progress.step / self.total_steps

    def _counted(self, seconds: float) -> float:
        """What of a step's time counts: a pause must not use up the hours a recipe gives."""
        before = self.progress.step - 1
        if before < _LOG_EVERY:
            return seconds
        mean = self.progress.seconds / before
        return seconds if seconds < _PAUSE * mean else mean

    def _steps(self, log: RunLog | None) -> None:
        config, progress = self.config, self.progress
        if distributed.agreed(self._part() >= 1):
            return  # resumed though it was at its end
        wrapped = distributed.wrap(self.model)
        last = _ENDLESS if config.hours else self.total_steps
        batches = load_batches(
            self.dataset,
            config.batch_size,
            progress.step,
            last,
            config.data.workers,
            self.rank,
            self.processes,
        )
        mark = saved = validated = time.monotonic()
        window: list[dict[str, float]] = []
        for batch in batches:
            rate = one_cycle(self._part(), config)
            window.append(self._step(wrapped, batch, rate))
            now = time.monotonic()
            progress.step += 1
            # The same on all processes, because the learning rate follows it.
            progress.seconds += float(
                distributed.mean_over_processes(torch.tensor(self._counted(now - mark)))
            )
            ended = distributed.agreed(self._part() >= 1)
            if log is not None and (progress.step % _LOG_EVERY == 0 or ended):
                self._log(log, window, rate)
                window = []
            if distributed.agreed(self._stop.is_set()) or ended:
                return
            due = bool(log and self.validate and now - validated > config.validate_minutes * 60)
            if self.rank == 0 and (due or now - saved > config.checkpoint_minutes * 60):
                self._save()  # before measuring, which may fail
                saved = time.monotonic()
            if log is not None and due:
                self._measure(log)
                validated = time.monotonic()
            mark = time.monotonic()  # saving and validating are not training time

    def _step(self, model: nn.Module, batch: Batch, rate: float) -> dict[str, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, parts = self.task(model, batch, self.progress.step, self._part())
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {float(loss.detach())}; {self._save_batch(batch)}")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm or math.inf)
        if not torch.isfinite(norm):
            raise TrainingError(f"the gradient became {float(norm)}; {self._save_batch(batch)}")
        parts["gradient"] = float(norm)
        self.optimizer.step()
        if self.after_step is not None:
            self.after_step(self.model, self.progress.step + 1)
        self.average.update_parameters(self.model)
        return parts

    def _save(self) -> None:
        save(self._checkpoint, self.config, self.progress, self.model, self.average, self.optimizer)

    def _save_batch(self, batch: Batch) -> str:
        target = self.folder / f"bad_batch_{self.progress.step}.npz"
        with atomic_path(target) as temporary:
            arrays = {
                f"{name}_{i}": getattr(labels, name)
                for i, labels in enumerate(batch.labels)
                for name in ("boxes", "landmarks", "ignored")
            }
            np.savez(temporary, images=batch.images.numpy(), **arrays)
        return f"batch of step {self.progress.step} saved as {target}"

    def _averaged(self) -> FeatherFace:
        """On the processor, where it is measured and written from."""
        network = self.average.module
        assert isinstance(network, FeatherFace)
        own = unfolded(network) if self.folds else copy.deepcopy(network)
        return own.cpu().eval()

    def _measure(self, log: RunLog) -> dict[str, float]:
        assert self.validate is not None
        network = self._averaged()
        measured = self.validate(network)
        log.add("validation", self.progress.step, {"part": self._part(), **measured})
        self.report(f"step {self.progress.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in measured.items()))
        judged = measured["ap_hard" if "ap_hard" in measured else "ap_all"]
        if judged > self.progress.best_hard:
            self.progress.best_hard = judged
            save_weights(network, self.folder / "best.safetensors")
            self._save()  # or a resumed run would take a worse one for the best
        return measured

    def _finish(self, log: RunLog | None, finished: bool) -> dict[str, float]:
        if log is None:
            return {}
        self._save()
        save_weights(self._averaged(), self.folder / "last.safetensors")
        measured = self._measure(log) if finished and self.validate else {}
        state = "finished" if finished else "stopped; go on with --resume"
        self.report(
            f"{state} after {self.progress.step} steps, {self.progress.seconds / 60:.1f} min of training"
        )
        return measured

    def _log(self, log: RunLog, window: list[dict[str, float]], rate: float) -> None:
        # A column of its own only where it is used: a run of an older version may be gone on with.
        imitation = ("imitation",) if self.config.distill.imitation_weight else ()
        keys = ("task", "classes", "boxes", "landmarks", "positives", "gradient", "distillation", *imitation)
        means = {k: float(np.mean([w[k] for w in window if k in w] or [np.nan])) for k in keys}
        speed = self.progress.step * self.config.batch_size / max(self.progress.seconds, 1e-9)
        part = self._part()
        left = self.progress.seconds * (1 - part) / max(part, 1e-9) / 60
        log.add("train", self.progress.step, {"part": part, "lr": rate, **means, "images_per_second": speed})
        told = ("task", "classes", "boxes", "landmarks", "distillation", *imitation)
        losses = " ".join(f"{k} {means[k]:.3f}" for k in told if not np.isnan(means[k]))
        self.report(
            f"step {self.progress.step} ({part:.1%}, {left:.0f} min left) {losses} {speed:.0f} images/s"
        )


def _total_steps(config: TrainConfig, pictures: int) -> int:
    return config.steps or max(1, round(config.epochs * pictures / config.batch_size))
