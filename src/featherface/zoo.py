"""The models that ship inside the package: their cards, and their files checked against them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featherface.errors import ModelError

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class ModelCard:
    """What is known of a shipped model."""

    name: str
    title: str
    parameters: int
    files: dict[str, str]
    """File name to sha256; the ONNX file is what the detector runs."""
    licence: str
    data: str
    """What it was trained on, and under which terms."""
    recipe: str
    init: str
    """What it started from."""
    ap: dict[str, dict[str, Any]]
    """By protocol: image_set, easy, medium, hard (fractions)."""
    notes: str

    @property
    def onnx(self) -> Path:
        """The file that the detector runs."""
        return WEIGHTS / f"{self.name}.onnx"


def list_models() -> list[ModelCard]:
    """The cards of all shipped models, by name."""
    return [_read_card(path) for path in sorted(WEIGHTS.glob("*.json"))]


def find_model(model: str | os.PathLike[str]) -> Path:
    """The file of a shipped model (its checksum verified) or of a path; ModelError when there is neither."""
    text = os.fspath(model)
    if card := _card_of(text):
        return checked_file(card, f"{text}.onnx")
    if os.path.exists(text):  # noqa: PTH110 - pathlib's raises for names that cannot be looked at
        return Path(text)
    names = ", ".join(path.stem for path in sorted(WEIGHTS.glob("*.json")))
    raise ModelError(f"{text}: no such file, and no such model; there are {names or 'none'}")


def shipped_weights(model: str) -> Path | None:
    """The weights of a shipped model, for training and exporting (its checksum verified); None for another name."""
    card = _card_of(model)
    return None if card is None else checked_file(card, f"{model}.safetensors")


def checked_file(card: ModelCard, name: str) -> Path:
    """A shipped file whose sha256 is the card's; ModelError when it is missing or was changed."""
    path = WEIGHTS / name
    if name not in card.files or not path.is_file():
        raise ModelError(f"{card.name}: {name} does not ship with it")
    if hashlib.sha256(path.read_bytes()).hexdigest() != card.files[name]:
        raise ModelError(f"{path}: does not match the sha256 of its card; it was changed or cut short")
    return path


def _card_of(model: str) -> ModelCard | None:
    path = WEIGHTS / f"{model}.json"
    return _read_card(path) if "/" not in model and os.sep not in model and path.is_file() else None


def _read_card(path: Path) -> ModelCard:
    try:
        return ModelCard(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"{path}: not a model card ({error})") from error
