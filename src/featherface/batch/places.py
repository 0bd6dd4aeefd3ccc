"""Spellings of one place: relative or absolute, through links, with dots or a URL's other name for the same store."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable
from functools import lru_cache

from featherface.batch.files import is_url
from featherface.errors import ConfigError

_STORES = {"s3a": "s3", "gcs": "gs"}
_LOCAL = ("file://", "local://")


def named(place: str, what: str) -> str:
    """A place that the user named, without a slash at its end. ConfigError for an empty one, which is no root."""
    if not place.strip():
        raise ConfigError(f"{what}: an empty string names no place")
    return place.rstrip("/") or "/"


def under(folder: str, place: str) -> str:
    """A place as seen from a folder: URLs and absolute paths stay."""
    return place if is_url(place) else os.path.join(folder, place)  # noqa: PTH118


def absolute(place: str) -> str:
    """A local path without dots from the root on; URLs stay."""
    return place if is_url(place) else os.path.abspath(place)  # noqa: PTH100


def resolved(place: str) -> str:
    """The one spelling of a place, for comparing."""
    for prefix in _LOCAL:
        place = place.removeprefix(prefix)
    if not is_url(place):
        return os.path.realpath(place)
    store, _, path = place.partition("://")
    return f"{_STORES.get(store, store)}://{posixpath.normpath('/' + path).lstrip('/')}"


def inside(output: str, folder: str) -> Callable[[str], bool]:
    """Tells of paths, relative ones from a folder, whether they lie below an output."""
    own = resolved(output).rstrip("/") + "/"
    # Links are followed once for each folder: once for each of a million files would take longer than listing them.
    known = lru_cache(4096)(resolved)

    def lies(path: str) -> bool:
        parent, name = os.path.split(under(folder, path))
        return f"{known(parent).rstrip('/')}/{name}".startswith(own)

    return lies
