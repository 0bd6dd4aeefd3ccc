"""Clients as no library makes them: broken requests, slow ones that are good, and one that does not read its answers.

Each kind's answer is read whole: an error has to be {"error": one sentence}, a slow request's faces the photo's.
"""

from __future__ import annotations

import json
import random
import socket
import time

import httpx

from service_clients import WRONG

BROKEN = ("truncated", "text", "type", "huge", "objects", "delimiters", "disconnect")
RARE = ("stalled", "unread")
"""Each of these takes longer than the service's time-out."""
RARELY = 1 / 40
SLOWLY = 1 / 25
"""Share of slow requests among those that are not broken."""
GONE = 0
"""Stands for a request that its sender broke off."""
UNCLEAR = -2
"""Stands for an error whose body is not {"error": one sentence}."""
CUT = -3
"""Stands for a connection that the service broke off, with answers that were not read."""
_UNREAD = 400


def draw(chance: random.Random, broken: float) -> str:
    """The next request's kind: good, slow, or a broken one."""
    if chance.random() >= broken:
        return "slow" if chance.random() < SLOWLY else "good"
    return chance.choice(RARE if chance.random() < RARELY else BROKEN)


def ask(session: httpx.Client, kind: str, photo: bytes, right: bytes, timeout: float) -> int:
    """The status of a request of this kind, or one of the numbers above; `timeout` is the service's."""
    address = (session.base_url.host, session.base_url.port or 80)
    if kind == "unread":
        return leave_unread(address, timeout)
    if kind in ("disconnect", "stalled", "slow"):
        return send_by_hand(address, kind, photo, right)
    media_type, body = content_of(kind, photo)
    answer = session.post("/v1/detect", content=body, headers={"content-type": media_type})
    return judged(answer.status_code, answer.content, right)


def content_of(kind: str, photo: bytes) -> tuple[str, bytes]:
    """Media type and body of a request that is broken by nothing else.

    The last two are as large as may be, and would take seconds to be parsed.
    """
    if kind == "truncated":
        return "image/jpeg", photo[: len(photo) // 2]
    if kind == "text":
        return "image/jpeg", b"hello"
    if kind == "huge":
        return "image/jpeg", bytes(21_000_000)
    if kind == "objects":
        return "application/json", b"[" + b"{}," * 6_000_000 + b"{}]"
    if kind == "delimiters":
        part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        return "multipart/form-data; boundary=x", part + b"\r\n--xy" * 3_000_000
    return ("video/mp4" if kind == "type" else "image/jpeg"), photo


def judged(status: int, body: bytes, right: bytes) -> int:
    """The status; WRONG for faces that are not the photo's, UNCLEAR for an error that says nothing."""
    if status == 200:
        return status if body == right else WRONG
    try:
        said = json.loads(body)
    except ValueError:
        return UNCLEAR
    is_clear = isinstance(said, dict) and list(said) == ["error"] and isinstance(said["error"], str)
    return status if is_clear and said["error"] and "\n" not in said["error"] else UNCLEAR


def send_by_hand(address: tuple[str, int], kind: str, photo: bytes, right: bytes) -> int:
    """One that hangs up, one that stops, and one that sends in four pieces."""
    head = (
        "POST /v1/detect HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: image/jpeg\r\n"
        f"Content-Length: {len(photo)}\r\n\r\n"
    )
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(head.encode() + photo[:99])
        if kind == "disconnect":
            return GONE
        if kind == "slow":
            rest, part = photo[99:], len(photo) // 4
            for place in range(0, len(rest), part):
                time.sleep(0.1)
                connection.sendall(rest[place : place + part])
        said = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    top, _, body = said.partition(b"\r\n\r\n")
    return judged(int(top.split()[1]), body, right)


def leave_unread(address: tuple[str, int], timeout: float) -> int:
    """Ask for more than the system's own buffers take, and read nothing until the service must have given up."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(address)
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * _UNREAD)
        time.sleep(timeout + 1)
        answers = 0
        connection.settimeout(2)
        try:
            while data := connection.recv(1 << 20):
                answers += data.count(b"HTTP/1.1 200")
        except TimeoutError:
            return 200  # the connection still lives
        except ConnectionError:
            pass
    return CUT if answers < _UNREAD else 200
