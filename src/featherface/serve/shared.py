"""What several processes behind one port share: a folder in which each keeps its metrics, for all to add up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from featherface.errors import ConfigError, reason_of

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder to prometheus_client, which looks for it when it is imported."""


@contextmanager
def common_folder() -> Iterator[None]:
    """A folder for the processes that are started meanwhile; ConfigError when there is no place for one."""
    try:
        # On Windows a file that some process has open stays.
        folder = TemporaryDirectory(prefix="featherface-metrics-", ignore_cleanup_errors=True)
    except OSError as error:
        message = (
            f"several workers need a folder for temporary files, to add up their metrics ({reason_of(error)})"
        )
        raise ConfigError(message) from error
    before = os.environ.get(FOLDER)
    with folder as path:
        os.environ[FOLDER] = path
        try:
            yield
        finally:
            del os.environ[FOLDER]
            if before is not None:
                os.environ[FOLDER] = before


def is_shared() -> bool:
    """Whether this process has others beside it."""
    return FOLDER in os.environ


def all_metrics() -> CollectorRegistry:
    """Those of all processes, added up."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


def forget_the_dead() -> None:
    """Take what ended processes had in hand out of the sums; what they had counted stays.

    For a process to do when it starts, because it takes the place of one that died.
    """
    if os.name == "nt":
        return  # where this question would end a process
    for file in Path(os.environ[FOLDER]).glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except OSError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
