"""Validation AP during training: wires the evaluator to the loop, which must not know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from featherface.model.network import FeatherFace


def make_validation(folder: str, images: int) -> Callable[[FeatherFace], dict[str, float]]:
    """A function that measures a network on a WIDER FACE folder; `images` 0 means all."""
    raise NotImplementedError
