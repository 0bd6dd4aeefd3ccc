"""The task: forward, labels' loss and, every so many batches, the teacher's. The loop owns nothing of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from featherface.model.network import FeatherFace, Predictions
from featherface.train.config import TrainConfig
from featherface.train.distill import DistillationLoss, Teacher, TeacherOutput, annealed
from featherface.train.imitate import captured, imitation_loss
from featherface.train.loading import Batch
from featherface.train.losses import DetectionLoss, LossTerms, to_targets
from featherface.train.teacher import normalise


class TrainTask:
    """What one step computes. With a teacher the loss is (1 - alpha) task + alpha distillation."""

    def __init__(self, config: TrainConfig, model: FeatherFace, teacher: Teacher | None, bf16: bool) -> None:
        self.config, self.teacher, self.bf16 = config, teacher, bf16
        self.loss = DetectionLoss(config.loss, model.config)
        self.distillation = DistillationLoss(config.distill, model.config)

    def __call__(
        self, model: nn.Module, batch: Batch, step: int, part: float = 0.0
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimise and its parts by name; `part`, 0 to 1, of the stage is done."""
        pixels = batch.images.to(next(model.parameters()).device, non_blocking=True)
        images = normalise(pixels).contiguous(memory_format=torch.channels_last)
        size = images.shape[-1]
        with captured(model) as maps, torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            computed: Predictions = model(images)
        # Assignment is many small steps on few numbers: on the processor whatever the network runs on.
        predictions = Predictions(*(values.cpu() for values in computed))
        terms: LossTerms = self.loss(predictions, [to_targets(labels) for labels in batch.labels], size)
        total, parts = terms.total, _parts(terms)
        if self.teacher is not None and step % self.config.distill.every == 0:
            said = self.teacher(pixels)
            # The maps stay where they are.
            answers = TeacherOutput(said.face_logits.cpu(), said.box_deltas.cpu(), said.landmark_deltas.cpu())
            taught = self.distillation(predictions, answers, size, part)
            if self.config.distill.imitation_weight:
                imitation = imitation_loss(maps, said.maps, said.face_logits.sigmoid())
                taught = taught + self.config.distill.imitation_weight * imitation.cpu()
                parts["imitation"] = float(imitation.detach())
            alpha = annealed(self.config.distill.alpha, self.config.distill.final_alpha, part)
            total = (1 - alpha) * total + alpha * taught
            parts["distillation"] = float(taught.detach())
        return total, parts


def _parts(terms: LossTerms) -> dict[str, float]:
    return {
        "task": float(terms.total.detach()),
        "classes": float(terms.classes),
        "boxes": float(terms.boxes),
        "landmarks": float(terms.landmarks),
        "positives": float(terms.positives),
    }
