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
from typing import TextIO

from featherface.batch import files
from featherface.errors import DataError

LOCK = "_lock"
_BEAT = 30
_PATIENCE = 150


def locked(output: str) -> AbstractContextManager[None]:
    """Holds the output for this process; DataError when another run does. Leaves no folder that stays empty."""
    return _marked(output) if files.is_url(output) else _held(Path(output))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        with files.named(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
            handle = _grasped(folder / LOCK)
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
                handle.write(_me())
                handle.flush()
                return handle
        except BlockingIOError as error:
            handle.seek(0)
            who = handle.read()
            handle.close()
            raise DataError(_told(str(path.parent), who)) from error
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


@contextmanager
def _marked(output: str) -> Iterator[None]:
    if files.exists(output, LOCK):
        who = files.read(files.join(output, LOCK)).decode("utf-8", "replace")
        if _alive(who):
            raise DataError(f"{_told(output, who)}; if that one died, wait {_PATIENCE} seconds")
    files.touch(output, LOCK, _me().encode())
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(_BEAT):
            with suppress(DataError):
                files.touch(output, LOCK, _me().encode())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        files.remove(output, LOCK)


def _me() -> str:
    return json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "seen": time.time()})


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


def _told(output: str, who: str) -> str:
    try:
        about = json.loads(who)
        return f"{output}: another run writes to it (process {about['pid']} on {about['host']})"
    except (ValueError, KeyError, TypeError):
        return f"{output}: another run writes to it"
