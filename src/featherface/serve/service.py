"""The network, the threads it runs on, and what is in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from fastapi import Request

from featherface.detector import Detector
from featherface.errors import ImageError
from featherface.images import decode_image
from featherface.runtime import open_session
from featherface.serve.bodies import Upload, check_size, read_uploads
from featherface.serve.limits import Budget, Cost, GaveUp, Timed, cost_of
from featherface.serve.problems import RequestError
from featherface.serve.queries import Hiding, Options
from featherface.serve.sending import Traffic
from featherface.serve.settings import Settings
from featherface.serve.watch import Metrics
from featherface.zoo import find_model

T = TypeVar("T")

Anonymise = Callable[[Detector, bytes, str, Hiding], tuple[bytes, str, int]]
"""Detector, photo, its name, how -> new photo, its media type, how many faces were hidden. Raises ImageError."""

_SOON = {"Retry-After": "1"}


class Service:
    """Looks at pictures on threads of its own, within limits. ModelError when the model cannot be opened."""

    def __init__(self, settings: Settings, anonymise: Anonymise) -> None:
        self.settings, self.anonymise = settings, anonymise
        self.session = open_session(find_model(settings.model), threads=1)
        self.pool = ThreadPoolExecutor(settings.lanes, thread_name_prefix="look")
        self.pixels = Budget(settings.budget)
        self.traffic = Traffic(settings.most_bytes, settings.timeout)
        self.in_hand = 0
        # What was given up, but is still in a run of the network.
        self.late: set[Future[Any]] = set()
        self.metrics = Metrics()
        self.metrics.follow(self.metrics.in_hand, lambda: self.in_hand)
        self.metrics.follow(self.metrics.body_bytes, lambda: self.traffic.bodies)
        self.metrics.follow(self.metrics.answer_bytes, lambda: self.traffic.answers)
        self.metrics.follow(self.metrics.late, lambda: len(self.late))

    @property
    def is_full(self) -> bool:
        """Whether another request would have no place; what was given up holds its own until its thread is free."""
        return self.in_hand + len(self.late) >= self.settings.max_requests

    @property
    def is_ready(self) -> bool:
        """Whether another request would have a place, and a thread in time."""
        return not self.is_full and len(self.late) < self.settings.lanes

    @asynccontextmanager
    async def pictures(self, request: Request) -> AsyncIterator[list[Upload]]:
        """The pictures of a request, with a place among those in hand; RequestError 429 when there is none.

        The place is taken when the body is here: a few slow senders would have them all otherwise. While bodies
        arrive they are bounded by their bytes.
        """
        mine = 0

        def count(more: int) -> None:
            nonlocal mine
            if not self.traffic.has_room(more):
                raise RequestError(
                    429, f"bodies and answers take {self.traffic.held:,} bytes; come back", _SOON
                )
            mine, self.traffic.bodies = mine + more, self.traffic.bodies + more

        self._check_place()
        try:
            uploads = await read_uploads(request, self.settings, count)
            self._check_place()
            self.in_hand += 1
            try:
                yield uploads
            finally:
                self.in_hand -= 1
        finally:
            self.traffic.bodies -= mine

    def _check_place(self) -> None:
        if self.is_full:
            raise RequestError(429, f"{self.in_hand} requests are in hand; come back", _SOON)

    async def work(self, function: Callable[..., T], *arguments: object) -> T:
        """Run on one of the threads, with the time of its end added; RequestError 503 when it takes longer."""
        seconds = self.settings.timeout
        task = self.pool.submit(function, *arguments, time.monotonic() + seconds)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(task), seconds)
        except (TimeoutError, GaveUp) as error:
            if not task.cancel():
                self.late.add(task)
                task.add_done_callback(self.late.discard)
            raise RequestError(503, f"took more than {seconds:g} seconds", {"Retry-After": "5"}) from error

    def look(self, upload: Upload, options: Options, end: float) -> dict[str, Any]:
        """One picture's entry in the answer."""
        with self._share(upload, options, end) as foreseen:
            picture = decode_image(upload.data, upload.name)
            height, width = picture.shape[:2]
            # The largest of several sizes in a file may have other proportions than what is unpacked.
            cost = self._cost(upload.name, (width, height), options)
            if cost.at_once > foreseen.at_once or cost.total > foreseen.total:
                raise RequestError(422, f"{upload.name}: is {width}x{height}, and its header says otherwise")
            thresholds = options.score_threshold, options.iou_threshold, options.max_detections
            found = Detector(Timed(self.session, end), *thresholds).detect(
                picture,
                scales=options.factors(),
                flip=options.flip,
                long_side=options.long_side,
                tile=options.tile,
            )
        self.metrics.pictures.inc()
        self.metrics.faces.inc(len(found))
        return {
            "path": upload.name,
            "width": width,
            "height": height,
            "faces": found.to_dict(),
            "error": None,
        }

    def look_or_say(self, upload: Upload, options: Options, end: float) -> dict[str, Any]:
        """The same for one of several pictures: what is wrong with one does not spoil the others."""
        try:
            return self.look(upload, options, end)
        except (ImageError, RequestError) as error:
            return {"path": upload.name, "width": None, "height": None, "faces": [], "error": str(error)}

    def hide(self, upload: Upload, how: Hiding, end: float) -> tuple[bytes, str, int]:
        """The photo with its faces hidden, its media type, and how many there were."""
        # It is looked at mirrored, too.
        with self._share(upload, Options(flip=True), end):
            detector = Detector(Timed(self.session, end), how.score_threshold)
            data, kind, faces = self.anonymise(detector, upload.data, upload.name, how)
        self.metrics.pictures.inc()
        self.metrics.faces.inc(faces)
        return data, kind, faces

    @contextmanager
    def _share(self, upload: Upload, options: Options, end: float) -> Iterator[Cost]:
        """A share of the pixels, before anything is unpacked. RequestError 413 for what costs too much."""
        cost = self._cost(upload.name, check_size(upload, self.settings.max_pixels), options)
        with self.pixels.share(cost.at_once, end):
            yield cost

    def _cost(self, name: str, size: tuple[int, int], options: Options) -> Cost:
        cost = cost_of(size, options, self.session.spec.pad_multiple)
        most, most_passes = self.settings.max_pixels, self.settings.most_passes
        if cost.largest > most:
            message = f"{cost.largest:,} pixels as enlarged and filled up for the network; at most {most:,}"
            raise RequestError(413, f"{name}: {message}")
        if cost.total > most_passes:
            message = f"{cost.total:,} pixels in all sizes, mirrored and in tiles; at most {most_passes:,}"
            raise RequestError(413, f"{name}: {message}")
        return cost


async def together(works: Iterable[Awaitable[T]]) -> list[T]:
    """What each of them gives. When one fails, its error, but after the last has ended.

    Until then the request has its place and its bytes, because its other pictures are still at work.
    """
    results = await asyncio.gather(*works, return_exceptions=True)
    done: list[T] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done
