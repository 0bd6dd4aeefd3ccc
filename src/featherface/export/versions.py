"""Which packages an export needs: present, and new enough."""

from __future__ import annotations

import re
from importlib import metadata

from featherface.errors import MissingExtraError, ModelError


def require(package: str, extra: str, at_least: str) -> str:
    """The installed version of a package.

    MissingExtraError when it is not there; ModelError when it is older than `at_least`.
    """
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(package, extra) from error
    if _numbers(version) < _numbers(at_least):
        raise ModelError(
            f"{package} {version} is installed; this needs {at_least} or newer: pip install -U 'featherface[{extra}]'"
        )
    return version


def installed(*packages: str) -> dict[str, str]:
    """The versions of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
