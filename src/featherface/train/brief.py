"""A few steps of training without folder, log, moving average or checkpoint: enough to judge a start by."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import AdamW

from featherface.errors import TrainingError
from featherface.model.fold import folded
from featherface.model.network import FeatherFace
from featherface.model.weights import unfolded
from featherface.train.config import TrainConfig
from featherface.train.data import CropDataset
from featherface.train.distill import Teacher
from featherface.train.loading import collate
from featherface.train.parameters import parameter_groups
from featherface.train.schedule import one_cycle
from featherface.train.task import TrainTask


def brief_training(
    config: TrainConfig, model: FeatherFace, dataset: CropDataset, teacher: Teacher | None
) -> FeatherFace:
    """`config.steps` steps of one cycle on a copy of `model`, with its batch norms folded; in eval mode.

    Raises TrainingError when the loss is no longer finite.
    """
    network = folded(model).train()
    task = TrainTask(config, network, teacher, bf16=False)
    optimizer = AdamW(parameter_groups(network, config.weight_decay), lr=config.max_lr)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step / config.steps, config)
        crops = range(step * config.batch_size, (step + 1) * config.batch_size)
        loss, _ = task(network, collate([dataset[i] for i in crops]), step, step / config.steps)
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss became {float(loss.detach())} in step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.clip_norm:
            nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        optimizer.step()
    return unfolded(network.eval())
