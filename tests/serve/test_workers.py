"""Several processes behind one port."""

from __future__ import annotations

import json
import re
import signal
import time

import httpx
import pytest
from typer.testing import CliRunner

from featherface.cli.app import build_app

pytestmark = pytest.mark.long


def metric(server, name):
    """Of whichever process answers."""
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    return float(re.search(rf"^featherface_{name} (\S+)$", text, re.MULTILINE)[1])


def wait_until(ready, seconds=60):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_workers_answer_side_by_side_and_end_when_what_is_in_hand_is_done(serve, photo, expected):
    """SIGTERM goes to the process that was started: its workers take the rest of a body, answer, and end."""
    server = serve("--workers", "2", "--cores", "1", "--timeout", "20")

    # Each has counts of its own, and a process that looks at a picture does not keep the other from answering: both
    # are there when two counts of one metric are seen.
    def faces_found():
        httpx.post(f"{server.url}/v1/detect", content=photo, timeout=60).raise_for_status()
        return {metric(server, "pictures_total") for _ in range(10)}

    wait_until(lambda: len(faces_found()) > 1)
    taken = CliRunner().invoke(build_app(), ["serve", "--workers", "2", "--port", str(server.port)])
    assert taken.exit_code == 1 and "already in use" in str(taken.exception)
    assert "\n" not in str(taken.exception)

    head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n"
    with server.connect(head, seconds=60) as connection:
        connection.sendall(photo[:1000])
        wait_until(lambda: metric(server, "body_bytes") == 1000)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(2)
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{server.url}/healthz")
        assert server.process.poll() is None, "it waits for what is in hand"
        connection.sendall(photo[1000:])
        said = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    assert said.startswith(b"HTTP/1.1 200")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["images"][0]["faces"] == expected
    log = server.process.communicate(timeout=60)[1].splitlines()
    assert server.process.returncode in (0, -signal.SIGTERM)
    assert '"status": 200' in log[-1] and all(json.loads(line) for line in log[1:]), "JSON from every process"
