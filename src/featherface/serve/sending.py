"""Bytes that are held for clients: bodies until they are answered, answers until they are taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from featherface.serve.problems import LOG, answer

SMALL = 64 * 1024
"""Bytes of an answer that passes uncounted: what a full service says of itself has to get through."""


class Traffic:
    """Bytes of bodies and answers in one process, together at most `most`; `seconds` is what sending may take.

    The system takes an answer off our hands as fast as its client reads. What it has not taken yet lies in the
    connection's buffer, which knows no bound, and only counting keeps slow readers from filling the memory.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.bodies = self._held = 0
        self._unread: set[asyncio.WriteTransport] = set()

    @property
    def answers(self) -> int:
        """Bytes of answers that were made and not taken yet."""
        return self._held + sum(transport.get_write_buffer_size() for transport in self._unread)

    @property
    def held(self) -> int:
        """Bytes of all."""
        return self.bodies + self.answers

    def has_room(self, more: int) -> bool:
        """Whether so many bytes fit."""
        return self.held + more <= self.most

    @contextmanager
    def handing_over(self, size: int) -> Iterator[None]:
        """An answer on its way into its connection's buffer: it waits there for what was asked before it."""
        self._held += size
        try:
            yield
        finally:
            self._held -= size

    def unread(self, transport: asyncio.WriteTransport) -> None:
        """This connection's buffer holds something."""
        self._unread.add(transport)

    def taken(self, transport: asyncio.WriteTransport) -> None:
        """This connection's buffer is empty, or gone."""
        self._unread.discard(transport)

    def log_given_up(self) -> None:
        """One line when a connection was broken off."""
        line = "an answer was not taken within %g seconds; its connection was broken off"
        LOG.log(logging.WARNING, line, self.seconds)


class Weigh:
    """ASGI middleware: an answer for which there is no room is 429 in its place."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app, self.traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        head: Message | None = None
        refused = False

        async def weighed(message: Message) -> None:
            nonlocal head, refused
            if message["type"] == "http.response.start":
                head = message  # kept until the body's size is known
                return
            size = len(message.get("body", b""))
            if head is not None and not self._fits(size):
                refused = True
                said = f"answers and bodies take {self.traffic.held:,} bytes; come back"
                await answer(429, said, {"Retry-After": "1"})(scope, receive, send)
            if not refused:
                with self.traffic.handing_over(size):
                    if head is not None:
                        await send(head)
                    await send(message)
            head = None

        await self.app(scope, receive, weighed)

    def _fits(self, size: int) -> bool:
        # One alone goes through, whatever its size: it would be refused for ever otherwise.
        return size <= SMALL or self.traffic.has_room(size) or not self.traffic.held
