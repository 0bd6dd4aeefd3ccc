"""The service: right answers to good requests, one clear sentence to broken ones, limits, and a clean end."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import cv2
import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from featherface import Detector
from featherface.cli.app import build_app
from featherface.cli.serve import make_anonymise
from featherface.errors import ConfigError
from featherface.serve.app import create_app
from featherface.serve.settings import Settings

JPEG = {"content-type": "image/jpeg"}


def client_of(**settings):
    app = create_app(Settings(**settings), make_anonymise("v2"))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


def ask(method, path, *, settings=None, **request):
    """One request to a service of its own."""
    import asyncio

    async def run():
        async with client_of(**(settings or {})) as client:
            return await client.request(method, path, **request)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def photo(examples):
    return (examples / "eileen_collins.jpg").read_bytes()


@pytest.fixture(scope="module")
def expected(photo):
    return Detector().detect(photo).to_dict()


def as_base64(data):
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda p: {"content": p, "headers": JPEG}, id="raw"),
        pytest.param(
            lambda p: {"content": p, "headers": {"content-type": "application/octet-stream"}}, id="bytes"
        ),
        pytest.param(lambda p: {"content": p}, id="without a type"),
        pytest.param(lambda p: {"files": {"file": ("photo.jpg", p)}}, id="multipart"),
        pytest.param(lambda p: {"json": [as_base64(p)]}, id="a list of base64"),
        pytest.param(
            lambda p: {"json": {"images": ["data:image/jpeg;base64," + as_base64(p)]}}, id="a data URL"
        ),
    ],
)
def test_every_kind_of_body_gives_what_the_detector_finds(make, photo, expected):
    answer = ask("POST", "/v1/detect", **make(photo))
    assert answer.status_code == 200, answer.text
    (image,) = answer.json()["images"]
    assert image["faces"] == expected and (image["width"], image["height"]) == (512, 512)


def test_one_broken_picture_does_not_spoil_the_others(photo, expected):
    files = [("file", ("good.jpg", photo)), ("file", ("bad.jpg", b"no picture"))]
    answer = ask("POST", "/v1/detect", files=files)
    good, bad = answer.json()["images"]
    assert answer.status_code == 200 and good["faces"] == expected and good["error"] is None
    assert bad["faces"] == [] and bad["error"].startswith("bad.jpg: ")


def test_options_are_the_detectors(photo):
    query = {"score_threshold": 0.02, "scales": "1,2", "flip": True, "long_side": 400, "max_detections": 3}
    found = ask("POST", "/v1/detect", params=query, content=photo).json()["images"][0]["faces"]
    detector = Detector(score_threshold=0.02, max_detections=3)
    assert found == detector.detect(photo, scales=(1, 2), flip=True, long_side=400).to_dict()


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        pytest.param({"content": b""}, 400, "body is empty", id="nothing"),
        pytest.param({"content": b"hello"}, 422, "not a picture", id="text"),
        pytest.param({"content": b"\xff\xd8\xff\xe0" + bytes(40)}, 422, "truncated", id="half a JPEG"),
        pytest.param(
            {"content": b"x", "headers": {"content-type": "video/mp4"}}, 415, "video/mp4", id="a film"
        ),
        pytest.param(
            {"content": b"{", "headers": {"content-type": "application/json"}}, 400, "not JSON", id="JSON"
        ),
        pytest.param({"json": "text"}, 400, "expected a list", id="JSON of another shape"),
        pytest.param({"json": [1]}, 400, "images[0] is no text", id="a number"),
        pytest.param({"json": ["***"]}, 400, "images[0] is not base64", id="no base64"),
        pytest.param({"json": []}, 400, "no pictures", id="an empty list"),
        pytest.param({"json": ["AAAA"] * 33}, 413, "33 pictures; at most 32", id="too many"),
        pytest.param(
            {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
            400,
            "multipart",
            id="no boundary",
        ),
        pytest.param({"content": bytes(200_001)}, 413, "larger than 200,000", id="too many bytes"),
        pytest.param(
            {"params": {"score_threshold": 2}, "content": b"x"}, 422, "score_threshold", id="a threshold"
        ),
        pytest.param({"params": {"scales": "1,x"}, "content": b"x"}, 422, "scales = '1,x'", id="scales"),
        pytest.param({"params": {"tile": 3}, "content": b"x"}, 422, "tile", id="a tile"),
    ],
)
def test_a_broken_request_is_answered_in_one_sentence(request_, status, says):
    answer = ask("POST", "/v1/detect", settings={"max_bytes": 200_000}, **request_)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"] and "\n" not in answer.json()["error"]


def test_too_many_pixels_are_refused_before_they_are_unpacked(photo):
    declared = cv2.imencode(".png", np.zeros((300, 400), np.uint8))[1].tobytes()
    for query, data in (({}, declared), ({"scales": "4"}, photo)):
        answer = ask("POST", "/v1/detect", settings={"max_pixels": 90_000 if not query else 300_000}, params=query,
                     content=data)  # fmt: skip
        assert answer.status_code == 413 and "pixels" in answer.json()["error"]


def test_anonymised_photos_show_no_face_and_keep_no_metadata(photo):
    answer = ask("POST", "/v1/anonymise", params={"method": "pixelate"}, content=photo, headers=JPEG)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-faces"] == "1" and len(Detector().detect(answer.content)) == 0
    assert b"Exif" not in answer.content


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({}, 401, id="none"),
        pytest.param({"authorization": "Bearer wrong"}, 401, id="another"),
        pytest.param({"authorization": "Bearer gehe\u00edm".encode()}, 200, id="the right one, not ASCII"),
    ],
)
def test_a_token_is_asked_for(given, status):
    answer = ask("GET", "/v1/models", settings={"token": "gehe\u00edm"}, headers=given)
    assert answer.status_code == status
    assert ask("GET", "/healthz", settings={"token": "secret"}).status_code == 200


def test_models_and_metrics(photo):
    import asyncio

    async def run():
        async with client_of() as client:
            await client.post("/v1/detect", content=photo)
            await client.get("/an/invention/of/the/caller")
            return await client.get("/v1/models"), await client.get("/metrics")

    models, metrics = asyncio.run(run())
    assert models.json()["serving"] == "v2" and models.json()["models"][-1]["ap"]
    text = metrics.text
    assert 'featherface_requests_total{path="/v1/detect",status="200"} 1.0' in text
    assert "featherface_faces_total 1.0" in text and "invention" not in text


def test_the_page_and_the_description_are_there():
    page, description = ask("GET", "/").text, ask("GET", "/openapi.json").json()
    assert "Drop a photo" in page and not re.search(r"https?://", page), "nothing is fetched from elsewhere"
    assert {"/v1/detect", "/v1/anonymise", "/v1/models", "/healthz", "/readyz", "/metrics"} <= set(
        description["paths"]
    )
    assert set(description["paths"]["/v1/detect"]["post"]["requestBody"]["content"]) == {
        "image/*", "multipart/form-data", "application/json"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "says"),
    [({"max_requests": 0}, "max_requests"), ({"timeout": -1}, "timeout"), ({"token": ""}, "token is empty")],
)
def test_settings_make_sense(values, says):
    with pytest.raises(ConfigError, match=says):
        Settings(**values)


class Server:
    """`featherface serve` in a process of its own."""

    def __init__(self, *options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-c", "from featherface.cli import main; main()", "serve"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *options], stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.url = f"http://127.0.0.1:{self.port}"
        for _ in range(600):
            try:
                httpx.get(f"{self.url}/readyz")
                return
            except httpx.HTTPError:
                assert self.process.poll() is None, self.process.stderr.read()
                time.sleep(0.1)
        raise AssertionError("never became ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=60)[1]


def slow(port, seconds, stop):
    """A client that promises a body and sends a byte now and then."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        end = time.monotonic() + seconds
        connection.settimeout(0.2)
        while time.monotonic() < end and not stop.is_set():
            try:
                connection.sendall(b"x")
                if data := connection.recv(65536):
                    return data
            except TimeoutError:
                continue
    return b""


def test_slow_senders_fill_the_house_and_are_shown_out(photo, expected):
    """Two hold all places: a third is told to come back; then they time out and it is served."""
    server = Server("--max-requests", "2", "--timeout", "3")
    stop, answers = threading.Event(), []
    threads = [
        threading.Thread(target=lambda: answers.append(slow(server.port, 30, stop)), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while httpx.get(f"{server.url}/readyz").status_code != 503 and time.monotonic() < deadline:
        time.sleep(0.05)
    full = httpx.post(f"{server.url}/v1/detect", content=photo)
    assert full.status_code == 429 and full.headers["retry-after"] == "1", full.text
    for thread in threads:
        thread.join(30)
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers), answers
    good = httpx.post(f"{server.url}/v1/detect", content=photo, timeout=30)
    assert good.status_code == 200 and good.json()["images"][0]["faces"] == expected
    log = [json.loads(line) for line in server.stop().splitlines() if line.startswith("{")]
    assert {"method": "POST", "path": "/v1/detect", "status": 200, "bytes": len(photo)}.items() <= log[
        -1
    ].items()
    assert server.process.returncode in (0, -signal.SIGTERM), (
        "uvicorn ends by the signal, after what was in hand"
    )


def test_a_disconnect_leaves_the_place_free(photo):
    server = Server("--max-requests", "1")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
    deadline = time.monotonic() + 10
    while httpx.get(f"{server.url}/readyz").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert httpx.post(f"{server.url}/v1/detect", content=photo, timeout=30).status_code == 200
    assert "Traceback" not in server.stop()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--model", "none.onnx"], "none.onnx: no such file", id="a missing model"),
        pytest.param(["--max-bytes", "0"], "max_bytes = 0", id="a limit of nothing"),
        pytest.param(["--token-file", "/nonexistent"], "/nonexistent: no such file", id="a missing token"),
        pytest.param(["--host", "203.0.113.1"], "cannot be listened on", id="another machine's address"),
    ],
)
def test_what_cannot_be_served_is_one_line(options, says):
    result = CliRunner().invoke(build_app(), ["serve", *options])
    assert result.exit_code == 1 and says in str(result.exception)


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(build_app(), ["serve", "--port", str(port)])
    assert result.exit_code == 1 and "already in use" in str(result.exception)


@pytest.mark.slow
def test_the_description_holds():
    """Schemathesis: whatever it thinks of, no answer is a 500 and each is one that the description names."""
    schemathesis = pytest.importorskip("schemathesis")
    app = create_app(Settings(max_bytes=100_000), make_anonymise("v2"))
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    operations = [o.ok() for o in schema.get_all_operations() if "/v1/" in o.ok().path]
    assert len(operations) == 3

    @given(st.one_of(*(operation.as_strategy() for operation in operations)))
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    def probe(case):
        answer = case.call()
        assert answer.status_code < 500, answer.text
        assert answer.status_code in (200, 400, 405, 413, 415, 422), answer.text

    probe()


def test_the_example_client_is_all_one_needs(photo, expected, examples, monkeypatch):
    monkeypatch.syspath_prepend(examples / "serve")
    from client import faces

    server = Server("--cores", "1")
    assert faces(photo, server.url) == expected
    server.stop()
