"""Options that take several values with commas between them."""

from __future__ import annotations


def listed(text: str) -> list[str]:
    """`a, b` to ["a", "b"]: no spaces around the values, and no empty ones."""
    return [value for part in text.split(",") if (value := part.strip())]
