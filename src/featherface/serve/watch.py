"""Every request counted, timed and logged; never what was in it."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOG = logging.getLogger("featherface.serve")
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What /metrics shows; one registry an application, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(f"featherface_{name}", what, labels, registry=self.registry)

    def _gauge(self, name: str, what: str) -> Gauge:
        return Gauge(f"featherface_{name}", what, registry=self.registry)


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
