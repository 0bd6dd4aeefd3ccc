"""What the tables of measured figures share: reading what a benchmark wrote, and Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NUMBERS = Path(__file__).resolve().parents[1] / "docs" / "numbers"


def load(name: str) -> dict[str, Any]:
    """What a benchmark wrote."""
    figures: dict[str, Any] = json.loads((NUMBERS / name).read_text(encoding="utf-8"))
    return figures


def table(rows: list[tuple[str, ...]]) -> str:
    """Markdown; the first row is the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
