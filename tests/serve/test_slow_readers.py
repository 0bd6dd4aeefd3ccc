"""Answers that nobody reads: the connection is broken off in time, and what waits is counted."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import time

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image
from starlette.responses import Response

from featherface.cli.serve import anonymise
from featherface.serve.app import create_app
from featherface.serve.sending import SMALL, Traffic, Weigh
from featherface.serve.settings import Settings

TIMEOUT = 8


@pytest.fixture(scope="module")
def noise():
    """A picture whose answer is more than the system's own buffers take: 5 MB."""
    pixels = np.random.default_rng(0).integers(0, 255, (1300, 1300), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def ask_and_not_read(server, body):
    """A connection that sent a photo to be anonymised, with the least room for an answer."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(60)
    connection.connect(("127.0.0.1", server.port))
    head = f"POST /v1/anonymise HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def answer_bytes(server):
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    return float(text.split("\nfeatherface_answer_bytes ")[1].split()[0])


def wait_for(condition, seconds):
    """How long it took; an error after so many seconds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds
        time.sleep(0.05)
    return time.monotonic() - start


@pytest.mark.long
def test_a_connection_that_does_not_read_its_answer_is_broken_off(serve, noise, photo):
    server = serve("--timeout", str(TIMEOUT))
    with ask_and_not_read(server, noise) as connection:
        wait_for(lambda: answer_bytes(server) > 1e6, 30)
        good = httpx.post(f"{server.url}/v1/detect", content=photo, timeout=60)
        assert good.status_code == 200, "it keeps nobody waiting"
        assert wait_for(lambda: not answer_bytes(server), 30) < TIMEOUT + 2
        got = 0
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(1 << 20):
                got += len(data)
        assert got < 4_000_000, "only what the system had taken before"
    said = [json.loads(line) for line in server.stop().splitlines()[1:]]
    warnings = [line["message"] for line in said if line.get("level") == "warning"]
    assert warnings == [f"an answer was not taken within {TIMEOUT} seconds; its connection was broken off"]


@pytest.mark.long
def test_who_reads_slowly_but_in_time_gets_all(serve, noise):
    server = serve("--timeout", "20")
    with ask_and_not_read(server, noise) as connection:
        wait_for(lambda: answer_bytes(server) > 1e6, 30)
        time.sleep(1)
        head, _, body = connection.recv(4096).partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < length:
            data = connection.recv(1 << 20)
            assert data, "the answer ends early"
            body += data
        assert answer_bytes(server) == 0
    assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).shape == (1300, 1300, 3)


@pytest.mark.long
def test_the_end_does_not_wait_for_a_reader_that_never_reads(serve, noise):
    server = serve("--timeout", str(TIMEOUT))
    with ask_and_not_read(server, noise):
        wait_for(lambda: answer_bytes(server) > 1e6, 30)
        start = time.monotonic()
        server.stop()
    assert time.monotonic() - start < TIMEOUT + 2 < Settings(timeout=TIMEOUT).longest


@pytest.mark.parametrize(
    ("held", "size", "status"),
    [
        pytest.param(0, 1_000_000, 200, id="room for all"),
        pytest.param(1, 1_000_000, 429, id="more than what is left"),
        pytest.param(1_000_000, SMALL, 200, id="a small one, which a full service needs to say so"),
        pytest.param(1_000_000, SMALL + 1, 429, id="one byte more than small"),
        pytest.param(0, 2_000_000, 200, id="too large for all the room, but alone"),
    ],
)
def test_answers_that_wait_are_bounded_by_their_bytes(held, size, status):
    traffic = Traffic(1_000_000, 1)
    app = Weigh(Response(bytes(size)), traffic)

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            with traffic.handing_over(held):
                return await client.get("/")

    answer = asyncio.run(ask())
    assert answer.status_code == status and traffic.held == 0
    if status == 429:
        assert answer.json()["error"].endswith("bytes; come back") and answer.headers["retry-after"] == "1"
    else:
        assert len(answer.content) == size


def test_a_body_finds_no_room_where_answers_wait(photo):
    """One budget for both: the memory that docs/service.md asks for holds ten bodies."""
    app = create_app(Settings(max_bytes=len(photo)), anonymise)
    (traffic,) = (m.kwargs["traffic"] for m in app.user_middleware if m.cls is Weigh)

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            with traffic.handing_over(9 * len(photo) + 1):
                full = await client.post("/v1/detect", content=photo)
            return full, await client.post("/v1/detect", content=photo)

    full, later = asyncio.run(ask())
    assert full.status_code == 429 and "bodies and answers take" in full.json()["error"]
    assert later.status_code == 200 and traffic.held == 0


@pytest.mark.parametrize(
    ("kind", "mode", "media_type"),
    [
        pytest.param("BMP", "1", "image/png", id="a BMP of one bit a pixel would grow by 24 times"),
        pytest.param("BMP", "RGB", "image/png", id="a BMP in colour"),
        pytest.param("TIFF", "RGB", "image/png", id="an uncompressed TIFF"),
        pytest.param("GIF", "L", "image/png", id="a GIF"),
        pytest.param("PNG", "1", "image/png", id="a PNG"),
        pytest.param("WEBP", "RGB", "image/webp", id="a WebP"),
        pytest.param("JPEG", "RGB", "image/jpeg", id="a JPEG"),
    ],
)
def test_what_is_stored_without_compression_is_answered_as_png(kind, mode, media_type, ask):
    file = io.BytesIO()
    Image.new(mode, (640, 480)).save(file, kind)
    answer = ask("POST", "/v1/anonymise", content=file.getvalue())
    assert answer.status_code == 200 and answer.headers["content-type"] == media_type
    assert len(answer.content) < 10_000, "nothing but black"
