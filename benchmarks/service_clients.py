"""Eight clients that cost next to nothing: for throughput, when they share the cores with what they measure.

One thread and bare sockets; the answers are still read whole and compared.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import Counter

WRONG = -1
"""Stands for an answer of 200 that is not the first one's."""


class Client:
    """One connection that sends the same request again and again."""

    def __init__(self, address: tuple[str, int], request: bytes, right: bytes) -> None:
        self.request, self.right = request, right
        self.connection = socket.create_connection(address, timeout=60)
        # The whole request fits, so that sending never waits for the other side.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(request))
        self.answer, self.begun = b"", 0.0

    def ask(self) -> None:
        """Send the request."""
        self.answer, self.begun = b"", time.perf_counter()
        self.connection.sendall(self.request)

    def status(self) -> int | None:
        """Take what has come; the answer's status when that is all of it, WRONG for other faces."""
        data = self.connection.recv(1 << 16)
        if not data:
            raise SystemExit("the service ended a connection")
        self.answer += data
        head, end, body = self.answer.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if not end or len(body) < int(length):
            return None
        status = int(head[9:12])
        return WRONG if status == 200 and body != self.right else status


def ask_steadily(
    address: tuple[str, int], photo: bytes, right: bytes, count: int, clients: int
) -> tuple[float, list[float], Counter[int]]:
    """Seconds in all, seconds of each of `count` requests, and how often each status came.

    Every client asks anew as soon as it has its answer.
    """
    head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(photo)}\r\n\r\n"
    times: list[float] = []
    answers: Counter[int] = Counter()
    with selectors.DefaultSelector() as ready:
        start = time.perf_counter()
        asked = min(clients, count)
        for _ in range(asked):
            client = Client(address, head.encode() + photo, right)
            ready.register(client.connection, selectors.EVENT_READ, client)
            client.ask()
        while len(times) < count:
            for key, _ in ready.select():
                client = key.data
                status = client.status()
                if status is None:
                    continue
                times.append(time.perf_counter() - client.begun)
                answers[status] += 1
                if asked < count:
                    asked += 1
                    client.ask()
        seconds = time.perf_counter() - start
        for key in list(ready.get_map().values()):
            key.data.connection.close()
    return seconds, times, answers
