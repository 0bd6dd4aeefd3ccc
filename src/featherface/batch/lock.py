"""One run at a time writes to an output; the next is told who does. A run that died keeps nobody out for long.

A local output is locked by the kernel, which lets go when the process ends, however it ends. In an object store the
lock is a file that says when its run was last alive.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from featherface.batch import files
from featherface.errors import DataError
from featherface.lock import LOCK, held, me, told

_BEAT = 30
_PATIENCE = 150


def locked(output: str) -> AbstractContextManager[None]:
    """Holds the output for this process; DataError when another run does. Leaves no folder that stays empty."""
    return _marked(output) if files.is_url(output) else held(Path(output))


@contextmanager
def _marked(output: str) -> Iterator[None]:
    if files.exists(output, LOCK):
        who = files.read(files.join(output, LOCK)).decode("utf-8", "replace")
        if _alive(who):
            raise DataError(f"{told(output, who)}; if that one died, wait {_PATIENCE} seconds")
    files.touch(output, LOCK, me().encode())
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(_BEAT):
            with suppress(DataError):
                files.touch(output, LOCK, me().encode())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        files.remove(output, LOCK)


def _alive(who: str) -> bool:
    try:
        about = json.loads(who)
        host, pid, seen = about["host"], int(about["pid"]), float(about["seen"])
    except (ValueError, KeyError, TypeError):
        return False
    if time.time() - seen > _PATIENCE:
        return False
    if host == socket.gethostname():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
    return True
