"""Recipes: frozen dataclasses read from TOML, checked before anything starts."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from featherface.errors import ConfigError

_Recipe = TypeVar("_Recipe")


def load_recipe(kind: type[_Recipe], path: str | Path, overrides: Sequence[str] = ()) -> _Recipe:
    """The dataclass `kind` from a TOML file. `overrides` are `key=value`, dotted keys, values TOML or plain strings.

    A file that says `extends = "other.toml"` (a path from its own folder) holds only what differs from that one: tables
    are completed key by key, lists are replaced. It needs a `name` of its own where the other has one.

    Raises ConfigError that names the file and the key for unknown or missing keys, wrong types and bad values.
    """
    values = _read(Path(path), ())
    for override in overrides:
        _override(values, override)
    try:
        built = _build(kind, values, "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    assert isinstance(built, kind)
    return built


def _read(path: Path, readers: tuple[Path, ...]) -> dict[str, Any]:
    """The file's values, completed by those of the file it extends; `readers` are the files that extend this one."""
    if (here := path.resolve()) in readers:
        raise ConfigError(f"{path}: extends itself")
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if "extends" not in values:
        return values
    base = values.pop("extends")
    if not isinstance(base, str) or "\0" in base:
        raise ConfigError(f"{path}: extends = {base!r}: must be the path of a recipe")
    try:
        inherited = _read(path.parent / base, (*readers, here))
    except ConfigError as error:
        raise ConfigError(f"{path}, which extends {base}: {error}") from error
    if "name" in inherited and "name" not in values:
        raise ConfigError(f"{path}: name is missing, it extends {base} and would write into its folder")
    return completed(values, inherited)


def completed(before: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """`before` with what it lacks from `defaults`, tables key by key.

    A recipe kept by an older version had fewer keys: what it did then is what the others' defaults do now.
    """
    filled = {**defaults, **before}
    for key, value in defaults.items():
        if isinstance(value, dict) and isinstance(filled[key], dict):
            filled[key] = completed(filled[key], value)
    return filled


def with_changes(base: _Recipe, values: dict[str, Any], where: str) -> _Recipe:
    """A copy of the dataclass `base` with the values of a table that holds only what differs.

    Raises ConfigError that names the key (after `where`) for unknown keys, wrong types and bad values.
    """
    return dataclasses.replace(base, **_fields(type(base), values, where))  # type: ignore[type-var]


def _override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override!r}: expected key=value")
    *parents, last = key.strip().split(".")
    place = values
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise ConfigError(f"--set {override!r}: {parent} is not a table")
    try:
        place[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        place[last] = text


def _build(kind: type, values: Any, where: str) -> Any:
    """A dataclass from a table, recursively, every key known and every type right."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where.removesuffix('.') or 'the file'} must be a table, not {values!r}")
    built = _fields(kind, values, where)
    needed = [
        f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING
    ]
    missing = [name for name in needed if name not in built]
    if missing:
        raise ConfigError(f"{where}{missing[0]} is missing")
    return kind(**built)


def _fields(kind: type, values: dict[str, Any], where: str) -> dict[str, Any]:
    """A table's values as a dataclass's fields want them, each key one of those."""
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        known = ", ".join(sorted(hints))
        raise ConfigError(f"unknown key {where}{unknown[0]}; there are {known}")
    return {key: _convert(hints[key], value, f"{where}{key}") for key, value in values.items()}


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:  # TOML has no null: what may be None is that where nothing is said
        (hint,) = (argument for argument in arguments if argument is not types.NoneType)
        return _convert(hint, value, where)
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where} must be a table, not {value!r}")
        return value
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, f"{where}.")
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} = {value!r}: must be one of {', '.join(map(repr, arguments))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} = {value!r}: must be a list")
        if arguments[-1] is Ellipsis:
            return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
        if len(value) != len(arguments):
            raise ConfigError(f"{where} = {value!r}: must hold {len(arguments)} values")
        return tuple(_convert(a, v, where) for a, v in zip(arguments, value, strict=True))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ConfigError(f"{where} = {value!r}: must be {getattr(hint, '__name__', hint)}")
    if hint is str and "\0" in value:  # most are paths, and no path can
        raise ConfigError(f"{where} = {value!r}: must not hold the character 0")
    return value
