"""How long a connection may take, how many there may be, and how one ends that is not read to its end."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from featherface.serve.sending import Traffic

TRAFFIC = "traffic"
"""Where the application's lifespan leaves its `Traffic` for the connections."""
LINGER = 2.0
"""Seconds for which what is left of a body is taken and dropped, so that the sender comes to read its answer."""

_FULL = b'{"error":"too many connections; come back"}'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_FULL), _FULL)
)


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with three limits it lacks: seconds for a request's head, seconds for an answer, connections.

    uvicorn's time to keep an idle connection ends with the first byte, so a sender of one byte now and then would
    stay for ever; it waits for ever for a client to read; its limit of connections counts requests only.
    `timeout_keep_alive` and `limit_concurrency` set the first and the last, too; the `Traffic` in the application's
    state sets the second.
    """

    _waiting: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Turn away what is too many, and give the others their time."""
        super().connection_made(transport)
        # From now on writing is paused while anything is unread, and resumed when all was taken: see pause_writing.
        transport.set_write_buffer_limits(high=1, low=0)
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            transport.write(_REFUSAL)
            transport.close()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """A head that is complete has a request in hand, whose own limits hold from then on."""
        super().data_received(data)
        if self._is_busy():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """The time for the next request's head begins."""
        super().on_response_complete()
        if not self._is_busy():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        self._stop_sending()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client has not taken all that was written, and its time to do so begins."""
        super().pause_writing()
        if self._sending is None:
            self._traffic.unread(self.transport)
            self._sending = self.loop.call_later(self._traffic.seconds, self._give_up)

    def resume_writing(self) -> None:
        """The client has taken all."""
        super().resume_writing()
        self._stop_sending()

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._stop_waiting()
        self._waiting = self.loop.call_later(self.timeout_keep_alive, self._end)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    @property
    def _traffic(self) -> Traffic:
        traffic: Traffic = self.app_state[TRAFFIC]
        return traffic

    def _stop_sending(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
            self._traffic.taken(self.transport)

    def _give_up(self) -> None:
        # Closing would wait for the client to take the rest, which it may never do.
        self._traffic.log_given_up()
        self.transport.abort()

    def _end(self) -> None:
        if not self.transport.is_closing() and not self._is_busy():
            self.transport.close()


class Ending:
    """ASGI middleware: an answer before the body's end says Connection: close and ends the connection.

    Otherwise a sender that was told 408 or 413 could drip on, and the server would read it for ever.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        unread, last = _has_body(scope), None

        async def noted() -> Message:
            nonlocal unread
            message = await receive()
            unread = message["type"] == "http.request" and message.get("more_body", False)
            return message

        async def held(message: Message) -> None:
            nonlocal last
            if unread and message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            elif unread and message["type"] == "http.response.body" and not message.get("more_body", False):
                # All of the answer goes out now, and its end, which closes the connection, later.
                last, message = {**message, "body": b""}, {**message, "more_body": True}
            await send(message)

        await self.app(scope, noted, held)
        if last is not None:
            try:
                async with asyncio.timeout(LINGER):
                    while unread:
                        await noted()
            except TimeoutError:
                pass
            await send(last)


def _has_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip() != b"0"
