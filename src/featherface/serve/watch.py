"""Every request counted, timed and logged; never what was in it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from featherface.serve.shared import all_metrics, forget_the_dead, is_shared

LOG = logging.getLogger("featherface.serve")
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_EVERY = 1.0
"""Seconds after which what other processes show of this one is written anew."""


class Metrics:
    """What /metrics shows; one registry an application, so that several can live in one process.

    Where several processes answer on one port, each shows the sum of all.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._levels: list[tuple[Gauge, Callable[[], float]]] = []
        self.requests = self._counter("requests", "Requests answered", "path", "status")
        self.pictures = self._counter("pictures", "Pictures looked at")
        self.faces = self._counter("faces", "Faces found")
        self.seconds = Histogram(
            "featherface_request_seconds",
            "From head to answer",
            ("path",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_hand = self._gauge("requests_in_hand", "Being served, with their bodies here")
        self.body_bytes = self._gauge("body_bytes", "Of bodies that arrive or are in hand")
        self.answer_bytes = self._gauge("answer_bytes", "Of answers that their clients have not taken yet")
        self.late = self._gauge("threads_late", "At work on what was answered with 503")

    def follow(self, gauge: Gauge, level: Callable[[], float]) -> None:
        """Show what `level` gives. Not by `Gauge.set_function`: another process cannot call it."""
        self._levels.append((gauge, level))

    def text(self) -> bytes:
        """All of them as they are now, those of other processes as they were a second ago."""
        self._refresh()
        return generate_latest(all_metrics() if is_shared() else self.registry)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """While the application lives: where there are other processes, they know how it stands here."""
        if not is_shared():
            yield
            return
        forget_the_dead()
        keeping = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            keeping.cancel()
            for gauge, _ in self._levels:
                gauge.set(0)

    async def _keep(self) -> None:
        while True:
            self._refresh()
            await asyncio.sleep(_EVERY)

    def _refresh(self) -> None:
        for gauge, level in self._levels:
            gauge.set(level())

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"featherface_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"featherface_{name}", what, registry=self.registry, multiprocess_mode="livesum")


class JsonLines(logging.Formatter):
    """Lines of other libraries in the form of our own: one JSON object, whatever is in them."""

    def format(self, record: logging.LogRecord) -> str:
        """Level, logger and message; and where an exception came from, when there was one."""
        line = {"level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class Watch:
    """ASGI middleware: one log line in JSON and the metrics, per request."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, seen = time.perf_counter(), {"status": 500, "bytes": 0}

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
            await send(message)

        async def measured() -> Message:
            message = await receive()
            seen["bytes"] += len(message.get("body", b""))
            return message

        try:
            await self.app(scope, measured, counted)
        finally:
            seconds = time.perf_counter() - start
            # A path of the caller's invention must not become a label.
            path = scope["path"] if scope["path"] in self.paths else "other"
            self.metrics.requests.labels(path, str(seen["status"])).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            line: dict[str, Any] = {
                "method": scope["method"],
                "path": path,
                **seen,
                "ms": round(1e3 * seconds, 1),
            }
            LOG.info(json.dumps(line))
