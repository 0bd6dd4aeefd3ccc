"""Validation AP during training: wires the evaluator to the loop, which must not know it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from featherface.images import read_image
from featherface.runtime import Session
from featherface.runtimes.spec import ModelSpec

if TYPE_CHECKING:
    from featherface.evaluate.run import EvaluationSet
    from featherface.model.network import FeatherFace


class TorchSession:
    """A torch network behind the detector's interface."""

    def __init__(self, model: FeatherFace) -> None:
        import torch

        from featherface.model.fold import folded

        config = model.config
        self.spec = ModelSpec(config.name, config.strides, config.prior_sizes, config.variances, 32)
        self.network = folded(model)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean = torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)

    def run(self, images: Any) -> tuple[Any, Any, Any]:
        """See `featherface.runtime.Session.run`."""
        import torch

        with torch.inference_mode():
            logits, boxes, landmarks = self.network(torch.from_numpy(images).flip(1) - self.mean)
            scores = (logits[..., 1] - logits[..., 0]).sigmoid()
        return scores.numpy(), boxes.numpy(), landmarks.numpy()


def validation_set(place: str, images: int) -> EvaluationSet:
    """About `images` pictures, evenly spread (0 means all), of a WIDER FACE folder or of labels of any format."""
    from featherface.evaluate.labelled import find_labels, load_labelled
    from featherface.evaluate.run import every_nth, load_set

    source, format = find_labels(Path(place))
    return every_nth(load_set(source) if format == "wider-face" else load_labelled(source), images)


def make_measure(place: str, images: int) -> Callable[[Session], dict[str, float]]:
    """A function to AP per subset on a validation set, protocol `original`.

    The subsets are easy, medium and hard on a WIDER FACE folder, `all` on other labels.
    """
    from featherface.evaluate.protocol import protocol
    from featherface.evaluate.run import detect_set, to_predictions
    from featherface.evaluate.wider import evaluate

    pictures = validation_set(place, images)
    for path in pictures.paths:
        read_image(path)  # an ImageError now, and not after an hour of training

    def measure(session: Session) -> dict[str, float]:
        found = detect_set(session, pictures.paths, protocol("original"), workers=1)
        rows = to_predictions(found, pictures.truths)
        return evaluate(rows, pictures.truths).ap

    return measure


def make_validation(place: str, images: int) -> Callable[[FeatherFace], dict[str, float]]:
    """A function that measures a network during training, as `make_measure` does a session."""
    measure = make_measure(place, images)

    def validate(model: FeatherFace) -> dict[str, float]:
        ap = measure(TorchSession(model))
        return {f"ap_{subset}": float(np.round(value, 5)) for subset, value in ap.items()}

    return validate
