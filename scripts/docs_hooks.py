"""What mkdocs asks of us: model cards and measured AP come from the packaged cards, so no page goes stale."""

from __future__ import annotations

import re
from typing import Any

from featherface.zoo import ModelCard, list_models

SUBSETS = ("easy", "medium", "hard")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in `<!-- model-cards -->` and `<!-- measured-ap -->`."""
    for mark, render in (("model-cards", render_cards), ("measured-ap", render_ap)):
        markdown = re.sub(f"<!-- {mark} -->", lambda _, render=render: render(list_models()), markdown)
    return markdown


def render_cards(cards: list[ModelCard]) -> str:
    """Every shipped model: facts, provenance, measured AP."""
    return "\n\n".join(_card(card) for card in cards)


def render_ap(cards: list[ModelCard]) -> str:
    """One row a model and protocol."""
    lines = ["| model | protocol | pictures | easy | medium | hard |", "|---|---|---|---|---|---|"]
    for card in cards:
        for protocol, ap in card.ap.items():
            values = " | ".join(f"{100 * ap[subset]:.1f}" for subset in SUBSETS)
            lines.append(f"| {card.name} | {protocol} | {ap['image_set']} | {values} |")
    return "\n".join(lines)


def _card(card: ModelCard) -> str:
    facts = {
        "Network": card.title,
        "Parameters": f"{card.parameters:,}",
        "File": f"`{card.onnx.name}`, {card.onnx.stat().st_size / 1e6:.2f} MB",
        "sha256": f"`{card.files[card.onnx.name]}`",
        "Licence": card.licence,
        "Trained on": card.data,
        "Started from": card.init,
        "Recipe": card.recipe,
        "Notes": card.notes,
    }
    rows = [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join([f"## {card.name}", "", "| | |", "|---|---|", *rows, "", render_ap([card])])
