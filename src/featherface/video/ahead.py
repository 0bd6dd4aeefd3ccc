"""Work that overlaps: an iterator runs ahead of its consumer in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _End(Generic[T]):
    error: BaseException | None = None


@contextmanager
def ahead(items: Iterator[T], depth: int = 4) -> Iterator[Iterator[T]]:
    """The same items, at most `depth` of them made before they are asked for.

    An exception of the producer is raised where its item would have come. On leaving, the producer is stopped,
    also when nobody asks for its items any more.
    """
    line: queue.Queue[T | _End[T]] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | _End[T]) -> None:
        while not stopped.is_set():
            try:
                line.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
        except BaseException as error:
            put(_End(error))
        else:
            put(_End())

    def consume() -> Iterator[T]:
        while True:
            item = line.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    thread = threading.Thread(target=produce, daemon=True, name="ahead")
    thread.start()
    try:
        yield consume()
    finally:
        stopped.set()
        thread.join()
