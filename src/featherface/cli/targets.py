"""Where results may go, told before the work because after it would be too late; and nothing half-written stays."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from featherface.errors import ConfigError, reason_of


def check_targets(*files: Path | None, folders: Iterable[Path | None] = ()) -> None:
    """ConfigError, before the work, for places that could not be written after it; `-` is standard output."""
    for folder in folders:
        if folder is not None:
            if folder.exists() and not folder.is_dir():
                raise ConfigError(f"{folder}: a file, not a folder to write into")
            _check_place(folder, folder)
    for file in files:
        if file is not None and str(file) != "-":
            if file.is_dir():
                raise ConfigError(f"{file}: a folder, not a file to write")
            _check_place(file, file.parent)


def _check_place(target: Path, folder: Path) -> None:
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise ConfigError(f"{target}: cannot be written ({above} is a file)")
    if not os.access(above, os.W_OK):
        raise ConfigError(f"{target}: cannot be written (no right to write into {above})")


def refuse_overwriting(outputs: Mapping[str, str | Path | None], inputs: Iterable[str | Path]) -> None:
    """Raises ConfigError when an output is one of the inputs, or a folder, or when two outputs are one file.

    `outputs` has what each option names; `-` is standard output. Before anything is written, because then it
    would be too late.
    """
    named = [(option, Path(path)) for option, path in outputs.items() if path is not None]
    read = [Path(path) for path in inputs]
    for number, (option, path) in enumerate(named):
        if str(path) != "-" and any(same_file(path, other) for other in read):
            raise ConfigError(f"{option} {path}: is an input, which is never overwritten")
        if path.is_dir():
            raise ConfigError(f"{option} {path}: is a folder, not a file")
        for other_option, other in named[:number]:
            if same_file(path, other):
                raise ConfigError(f"{option} {path}: {other_option} names the same file")


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, which need not exist."""
    try:
        return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))
    except OSError:
        return False  # what is wrong with the path is said by what reads or writes it


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Say in one line that something cannot be written."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written ({reason_of(error)})") from error


@contextmanager
def tidy_when_stopped() -> Iterator[None]:
    """SIGTERM ends the run as Ctrl-C does: by an exception, on whose way half-written files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set what a signal does
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
