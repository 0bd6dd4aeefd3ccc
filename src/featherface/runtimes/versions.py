"""Whether a package that runs or converts a model is there, and new enough."""

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


def refuse_older(package: str, extra: str, at_least: str) -> None:
    """ModelError when a package that could be imported is older than `at_least`; one without a version is let be."""
    try:
        require(package, extra, at_least)
    except MissingExtraError:  # built from source, without a package's metadata
        return


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
