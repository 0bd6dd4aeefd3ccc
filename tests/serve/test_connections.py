"""Connections: slow senders are shown out, too many turned away, and what is in hand is done before the end."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
import time

import cv2
import httpx
import numpy as np
import pytest
import uvicorn
from typer.testing import CliRunner

from featherface.cli.app import build_app

pytestmark = pytest.mark.long

POST = ("POST /v1/detect HTTP/1.1", "Host: x")


def head(length):
    """The lines of a request that promises a body."""
    return (*POST, f"Content-Length: {length}", "", "")


def drip(connection, seconds):
    """Send a byte now and then until the other side ends the connection; what it said, and whether it ended it."""
    said, end = b"", time.monotonic() + seconds
    connection.settimeout(0.2)
    while time.monotonic() < end:
        try:
            connection.sendall(b"x")
            data = connection.recv(65536)
            said += data
            if not data:
                return said, True
        except TimeoutError:
            continue
        except OSError:
            return said, True
    return said, False


def wait_until(ready, seconds=20):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def body_bytes(server):
    return int(
        float(httpx.get(f"{server.url}/metrics").text.split("\nfeatherface_body_bytes ")[1].split()[0])
    )


def test_slow_senders_are_shown_out_and_keep_nobody_waiting(serve, photo, expected):
    """More of them than there are places: a photo is served at once; then they time out and are cut off."""
    server = serve("--max-requests", "2", "--timeout", "10")
    outcomes = []

    def slow():
        with server.connect(*head(100_000)) as connection:
            outcomes.append(drip(connection, 60))

    threads = [threading.Thread(target=slow, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: body_bytes(server) >= 4)
    assert httpx.get(f"{server.url}/readyz").status_code == 200
    good = httpx.post(f"{server.url}/v1/detect", content=photo, timeout=60)
    assert good.status_code == 200 and good.json()["images"][0]["faces"] == expected
    assert not outcomes, "they are still at it"
    for thread in threads:
        thread.join(70)
    assert len(outcomes) == 4
    for said, ended in outcomes:
        assert said.startswith(b"HTTP/1.1 408") and b"connection: close" in said.lower()
        assert ended, "who drips on after the answer is cut off"
    httpx.post(f"{server.url}/v1/detect", content=photo, timeout=60)
    log = [json.loads(line) for line in server.stop().splitlines()[1:]]
    served = {"method": "POST", "path": "/v1/detect", "status": 200, "bytes": len(photo)}
    assert served.items() <= log[-1].items()
    assert server.process.returncode in (0, -signal.SIGTERM), (
        "uvicorn ends by the signal, after what was in hand"
    )


def test_what_takes_too_long_ends_with_its_answer(serve, photo):
    """Minutes of work in 17 kB, cut short: the next photo is served, and the end comes in time."""
    server = serve("--timeout", "3", "--cores", "1")
    picture = cv2.imencode(".png", np.zeros((3000, 3000), np.uint8))[1].tobytes()
    query = {"scales": ",".join("1" * 8), "flip": True, "tile": 4096}
    late = httpx.post(f"{server.url}/v1/detect", params=query, content=picture, timeout=60)
    assert late.status_code == 503 and "took more than 3 seconds" in late.text
    wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
    assert httpx.post(f"{server.url}/v1/detect", content=photo, timeout=60).status_code == 200
    httpx.post(f"{server.url}/v1/detect", params=query, content=picture, timeout=60)
    start = time.monotonic()
    server.stop()
    assert time.monotonic() - start < 3 * 3 + 5


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        pytest.param(("",), b"", id="nothing at all"),
        pytest.param(("POST /v1/det",), b"", id="half a line"),
        pytest.param((*POST, "X-Slow: "), b"", id="a header that does not end"),
        pytest.param(
            ("GET /healthz HTTP/1.1", "Host: x", "", "GET /hea"),
            b"HTTP/1.1 200",
            id="half of a second request",
        ),
    ],
)
def test_a_head_that_does_not_arrive_ends_the_connection(lines, says, serve):
    server = serve("--timeout", "2")
    with server.connect(*lines) as connection:
        start = time.monotonic()
        said, ended = drip(connection, 30) if lines != ("",) else (connection.recv(100), True)
        assert ended and said.startswith(says) and time.monotonic() - start < 15
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_too_many_connections_are_told_to_come_back(serve):
    server = serve("--max-connections", "3", "--timeout", "30")
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(server.connect(""))
        time.sleep(0.5)
        refused = stack.enter_context(server.connect(""))
        said = b"".join(iter(lambda: refused.recv(1000), b""))
        assert said.startswith(b"HTTP/1.1 503") and b"Retry-After" in said
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]

    def served():
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{server.url}/healthz").status_code == 200
        return False

    wait_until(served)


@pytest.mark.parametrize(
    ("options", "length", "status"),
    [
        pytest.param((), 50_000_000, b"413", id="too large, as declared"),
        pytest.param(("--token-file", "{token}"), 1000, b"401", id="not allowed"),
    ],
)
def test_an_answer_before_the_bodys_end_is_read_and_ends_the_connection(
    options, length, status, serve, tmp_path
):
    token = tmp_path / "token"
    token.write_text("s3cret")
    server = serve(*(option.format(token=token) for option in options))
    with server.connect(*head(length)) as connection:
        said, ended = drip(connection, 20)
    assert said.startswith(b"HTTP/1.1 " + status) and ended and b'{"error":' in said


def test_a_body_that_was_read_leaves_the_connection_open(serve):
    server = serve()
    with httpx.Client() as client:
        answer = client.post(f"{server.url}/v1/detect", content=b"no picture")
        assert answer.status_code == 422 and "connection" not in answer.headers


def test_a_disconnect_leaves_the_place_free(serve, photo):
    server = serve("--max-requests", "1")
    for _ in range(3):
        with server.connect(*head(1000)) as connection:
            connection.sendall(b"abc")
    wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
    assert httpx.post(f"{server.url}/v1/detect", content=photo, timeout=60).status_code == 200
    assert "Traceback" not in server.stop()


def test_what_is_in_hand_is_done_before_the_end(serve, photo):
    """SIGTERM in the middle of a body: the rest is taken, the photo looked at and answered; nothing new is."""
    server = serve("--timeout", "20")
    with server.connect(*head(len(photo)), seconds=60) as connection:
        connection.sendall(photo[:1000])
        wait_until(lambda: body_bytes(server) == 1000)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url}/healthz")
        connection.sendall(photo[1000:])
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    log = server.process.communicate(timeout=60)[1]
    assert '"status": 200' in log.splitlines()[-1]


@pytest.mark.parametrize(
    ("timeout", "graceful", "idle"),
    [
        pytest.param(30, 95, 15, id="a body may take 30 s, its pictures 30 s, its answer 30 s"),
        pytest.param(2.5, 13, 3, id="a fraction, rounded up"),
    ],
)
def test_the_end_waits_for_the_longest_request(timeout, graceful, idle, monkeypatch):
    given = {}
    monkeypatch.setattr(uvicorn, "run", lambda *_, **options: given.update(options))
    result = CliRunner().invoke(build_app(), ["serve", "--port", "8197", "--timeout", str(timeout)])
    assert result.exit_code == 0, result.output
    assert given["timeout_graceful_shutdown"] == graceful and given["timeout_keep_alive"] == idle


def test_every_line_of_the_log_is_json(serve):
    """uvicorn's, too: here it complains of what is no HTTP, and says that it does not wait any longer."""
    server = serve()
    with server.connect("no HTTP at all", "", "") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    first, *lines = server.stop().splitlines()
    assert first.startswith("listening on")
    complaint = [line for line in map(json.loads, lines) if line.get("level") == "warning"]
    assert complaint == [
        {"level": "warning", "logger": "uvicorn.error", "message": "Invalid HTTP request received."}
    ]
