"""Which packages an export needs, and which are there."""

from __future__ import annotations

from importlib import metadata

from featherface.runtimes.versions import require

__all__ = ["installed", "require"]


def installed(*packages: str) -> dict[str, str]:
    """The versions of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
