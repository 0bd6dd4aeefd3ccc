"""Whether a package that runs or converts a model is there, and new enough."""

from __future__ import annotations

import re
from importlib import metadata

from featherface.errors import FeatherFaceError, MissingExtraError, ModelError, one_line


def require(package: str, extra: str | None, at_least: str) -> str:
    """The installed version of a package, which an extra of featherface brings, or featherface itself (None).

    MissingExtraError when it is not there; ModelError when it is older than `at_least`.
    """
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise _missing(package, extra) from error
    if _numbers(version) < _numbers(at_least):
        raise ModelError(
            f"{package} {version} is installed; this needs {at_least} or newer: pip install -U {_named(extra)}"
        )
    return version


def refuse_older(package: str, extra: str | None, at_least: str) -> None:
    """ModelError when a package that could be imported is older than `at_least`; one without a version is let be."""
    try:
        require(package, extra, at_least)
    except FeatherFaceError as error:
        if isinstance(error.__cause__, metadata.PackageNotFoundError):
            return  # built from source, without a package's metadata, or under another name
        raise


def import_failure(
    error: ImportError, package: str, extra: str | None, modules: tuple[str, ...] = ()
) -> FeatherFaceError:
    """Why a package cannot be imported: MissingExtraError when it is not there, else ModelError with the reason.

    `modules`: what it is imported as, where that is not its name. One that is there may still fail: a library of the
    system's is missing, it was built for another Python or numpy, or a package that it needs is not there.
    """
    # A part of it that is missing has its whole name, with dots: then the package is there.
    if isinstance(error, ModuleNotFoundError) and error.name in (package, *modules):
        return _missing(package, extra)
    return ModelError(
        f"{package} is installed but cannot be imported ({one_line(error, 160)}): "
        f"pip install --force-reinstall {_named(extra)}"
    )


def _missing(package: str, extra: str | None) -> FeatherFaceError:
    if extra is None:
        return ModelError(f"{package} is not installed, which featherface needs: pip install featherface")
    return MissingExtraError(package, extra)


def _named(extra: str | None) -> str:
    return "featherface" if extra is None else f"'featherface[{extra}]'"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
