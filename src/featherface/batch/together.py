"""Pictures of one size through the network at once, for GPUs. What is found is what each alone would give.

The detector looks at one picture and asks the network when it needs it. A crew of threads, each with a picture of its
own, shares one network: when all of them wait for it, it runs once for all that ask with inputs of the same shape.
So every way to look (several scales, mirrored, tiles) is batched, and none knows of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from featherface.errors import FeatherFaceError, ModelError
from featherface.images import Image, Input
from featherface.runtime import Session
from featherface.runtimes.spec import ModelSpec

Row = dict[str, Any]
_Array = NDArray[np.float32]
_Outputs = tuple[_Array, _Array, _Array]
_HELD_BATCHES = 8
_HELD_BYTES = 512 << 20


@dataclass
class _Call:
    images: Input
    answer: _Outputs | FeatherFaceError | None = None


class Crew:
    """A session for at most `most` threads at a time, which are its own: see `all`."""

    def __init__(self, session: Session, most: int) -> None:
        self.session, self.most = session, most
        self._pool = ThreadPoolExecutor(most)
        self._change = threading.Condition()
        self._present = 0
        self._calls: list[_Call] = []

    @property
    def spec(self) -> ModelSpec:
        """The network's layout."""
        return self.session.spec

    def run(self, images: Input) -> _Outputs:
        """See `Session.run`; waits until every thread of the crew asks, or is done."""
        call = _Call(images)
        with self._change:
            self._calls.append(call)
            self._answer_if_all_wait()
            while call.answer is None:
                self._change.wait()
        if isinstance(call.answer, FeatherFaceError):
            raise call.answer
        return call.answer

    def all(self, works: Sequence[Callable[[], Row]]) -> list[Row]:
        """The results of at most `most` works, done side by side."""
        self._present = len(works)
        return list(self._pool.map(self._one, works))

    def _one(self, work: Callable[[], Row]) -> Row:
        try:
            return work()
        finally:
            with self._change:
                self._present -= 1
                self._answer_if_all_wait()

    def _answer_if_all_wait(self) -> None:
        if not self._calls or len(self._calls) < self._present:
            return
        shapes: dict[tuple[int, ...], list[_Call]] = {}
        for call in self._calls:
            shapes.setdefault(call.images.shape, []).append(call)
        self._calls = []
        for calls in shapes.values():
            self._answer(calls)
        self._change.notify_all()

    def _answer(self, calls: list[_Call]) -> None:
        if len(calls) > 1:
            try:
                outputs = self.session.run(np.concatenate([call.images for call in calls]))
                for i, call in enumerate(calls):
                    scores, boxes, landmarks = (output[i : i + 1] for output in outputs)
                    call.answer = scores, boxes, landmarks
                return
            except (ModelError, MemoryError):
                pass  # too large together, or a network for one picture at a time
        for call in calls:
            try:
                call.answer = self.session.run(call.images)
            except FeatherFaceError as error:
                call.answer = error
            except Exception as error:
                # Whoever waits for an answer must get one.
                call.answer = ModelError(f"model {self.spec.name}: {type(error).__name__}: {error}")


def in_batches(
    pictures: Iterator[tuple[str, Image | Row]],
    shape: Callable[[Image], tuple[int, int]],
    look: Callable[[list[tuple[str, Image]]], list[Row]],
    most: int,
) -> Iterator[Row]:
    """The rows of pictures, in their order; what is a row already stays one.

    Pictures wait until `most` of one shape are there. When too many wait, those of the shape that waits longest go.
    """
    waiting: dict[tuple[int, int], list[tuple[int, str, Image]]] = {}
    rows: dict[int, Row] = {}
    given = held = size = 0

    def go(key: tuple[int, int]) -> None:
        nonlocal held, size
        chosen = waiting.pop(key)
        found = look([(name, picture) for _, name, picture in chosen])
        rows.update(zip((index for index, _, _ in chosen), found, strict=True))
        held -= len(chosen)
        size -= sum(picture.nbytes for _, _, picture in chosen)

    for index, (name, picture) in enumerate(pictures):
        if isinstance(picture, dict):
            rows[index] = picture
        else:
            key = shape(picture)
            waiting.setdefault(key, []).append((index, name, picture))
            held, size = held + 1, size + picture.nbytes
            if len(waiting[key]) == most:
                go(key)
            while held > _HELD_BATCHES * most or (size > _HELD_BYTES and held > 1):
                go(next(iter(waiting)))
        while given in rows:
            yield rows.pop(given)
            given += 1
    while waiting:
        go(next(iter(waiting)))
    yield from (rows[index] for index in sorted(rows))
