"""One run at a time writes into a folder; the next is told who does. The kernel lets go when the run ends, however."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from featherface.errors import DataError, reason_of

LOCK = "_lock"
"""The file in the folder that is locked, and says by whom."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds the folder for this process; DataError when another run does, or where no file can be.

    A folder that is not there is made, and not left behind empty. On file systems that cannot lock, and on Windows,
    nobody is kept out.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = _grasped(folder / LOCK)
        except OSError as error:
            raise DataError(f"{folder}: {reason_of(error)}") from error
        with handle:
            try:
                yield
            finally:
                (folder / LOCK).unlink(missing_ok=True)
    finally:
        for place in made:
            with suppress(OSError):  # not empty
                place.rmdir()


def _grasped(path: Path) -> TextIO:
    while True:
        handle = path.open("a+", encoding="utf-8")
        try:
            _ask_the_kernel(handle)
            # The run before may have removed the file after we opened it: then we hold nothing that others see.
            if path.exists() and os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                handle.truncate(0)
                handle.write(me())
                handle.flush()
                return handle
        except BlockingIOError as error:
            handle.seek(0)
            who = handle.read()
            handle.close()
            raise DataError(told(str(path.parent), who)) from error
        except BaseException:
            handle.close()
            raise
        handle.close()


def _ask_the_kernel(handle: TextIO) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Some network file systems cannot lock; a run there is as good as it was without.
        return


def me() -> str:
    """What a lock says of this process: JSON with host, pid and the time."""
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "seen": time.time()})


def told(output: str, who: str) -> str:
    """The line for whoever is kept out; `who` is what the lock says, whatever that is."""
    try:
        about = json.loads(who)
        return f"{output}: another run writes to it (process {about['pid']} on {about['host']})"
    except (ValueError, KeyError, TypeError):
        return f"{output}: another run writes to it"
