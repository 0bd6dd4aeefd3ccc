"""The local engine: a process a core, and what happens when one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from types import FrameType
from typing import Any

from featherface.batch.plan import Shard
from featherface.batch.rows import error_row
from featherface.batch.work import Job, Look, Looker, Report, start
from featherface.errors import DataError, FeatherFaceError, one_line

_DEATHS = 5
_work: Callable[[Shard], Report]
_look: Look


def run_local(job: Job, shards: Sequence[Shard], workers: int) -> Iterator[Report]:
    """The reports of the shards, as they come. Shards of processes that died are done again.

    DataError when processes keep dying and no shard gets done.
    """
    left = {shard.number: shard for shard in shards}
    deaths = 0
    while left:
        try:
            for report in _one_pool(job, list(left.values()), min(workers, len(left))):
                del left[report.shard]
                deaths = 0
                yield report
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == _DEATHS:
                raise DataError(
                    f"worker processes died {deaths} times and finished nothing in between; "
                    "if memory ran out, use fewer --workers"
                ) from error


class Isolated:
    """Looks at pictures in a process of its own, which may die without taking anybody along."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pool = _pool(job, 1, _prepare_look)

    def __enter__(self) -> Look:
        return self._look

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def _look(self, name: str, data: bytes) -> dict[str, Any]:
        for _ in range(2):
            try:
                return self.pool.submit(_look_once, name, data).result()
            except BrokenProcessPool:
                self.pool.shutdown()
                self.pool = _pool(self.job, 1, _prepare_look)
        return error_row(name, f"{name}: ended two processes that looked at it")


def _one_pool(job: Job, shards: Sequence[Shard], workers: int) -> Iterator[Report]:
    with _pool(job, workers, _prepare) as pool:
        try:
            running: set[Future[Report]] = set()
            waiting = iter(shards)
            while True:
                # No more than what keeps everybody busy: a run of a million shards stays small.
                for shard in waiting:
                    running.add(pool.submit(_do, shard))
                    if len(running) >= 2 * workers:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                broken = None
                for future in done:
                    if isinstance(future.exception(), BrokenProcessPool):
                        broken = future.exception()
                    else:
                        yield future.result()
                if broken:
                    raise broken
        except BaseException:
            # What still runs is not waited for. A pool that went well is: it would race with Python's clean-up at exit.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _pool(job: Job, workers: int, prepare: Any) -> ProcessPoolExecutor:
    # Spawned, not forked: fsspec, ONNX Runtime and OpenCV hold threads that a fork would lose.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, prepare, (job,))


def _prepare(job: Job) -> None:
    global _work
    _live_and_die_with_the_parent()
    _work = start(job)


def _prepare_look(job: Job) -> None:
    global _look
    _live_and_die_with_the_parent()
    try:
        _look = Looker(job)
    except (FeatherFaceError, OSError) as error:
        _look = _failing(one_line(error))


def _failing(reason: str) -> Look:
    def look(name: str, data: bytes) -> dict[str, Any]:
        raise DataError(reason)

    return look


def _do(shard: Shard) -> Report:
    return _work(shard)


def _look_once(name: str, data: bytes) -> dict[str, Any]:
    return _look(name, data)


def _live_and_die_with_the_parent() -> None:
    def leave(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    def watch() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        connection.wait([parent.sentinel])
        os._exit(1)

    # A pool's processes would wait for ever for a parent that was killed.
    signal.signal(signal.SIGINT, leave)
    threading.Thread(target=watch, daemon=True).start()
