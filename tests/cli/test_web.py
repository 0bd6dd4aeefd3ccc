"""`featherface web`: what is served, with which headers, and what it says when it cannot."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import featherface.web
from featherface.web import HEADERS, open_server
from featherface.zoo import WEIGHTS


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a built page, in the place of the built one."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    for name in ("index.html", "sw.js", "assets/glue.mjs", "assets/ort.wasm", "manifest.webmanifest"):
        (folder / name).write_text(name, encoding="utf-8")
    (tmp_path / "secret.txt").write_text("not for you", encoding="utf-8")
    monkeypatch.setattr(featherface.web, "PAGE", folder)
    return folder


@pytest.fixture
def address(page: Path) -> Iterator[str]:
    """A running server of that page."""
    with open_server(0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/", "text/html", id="the page"),
        pytest.param("/sw.js", "text/javascript", id="a script"),
        pytest.param(
            "/assets/glue.mjs", "text/javascript", id="a module, which browsers refuse as anything else"
        ),
        pytest.param("/assets/ort.wasm", "application/wasm", id="WebAssembly, compiled while it loads"),
        pytest.param("/manifest.webmanifest", "application/manifest+json", id="the manifest"),
    ],
)
def test_files_are_served_with_their_types_and_isolated(address, path, kind):
    with urllib.request.urlopen(address + path, timeout=10) as answer:
        assert answer.headers["Content-Type"] == kind
        for name, value in HEADERS.items():
            assert answer.headers[name] == value


@pytest.mark.parametrize(
    "directive",
    [
        pytest.param("default-src 'self'", id="whatever has no line of its own"),
        pytest.param("connect-src 'self'", id="requests, a worker's too"),
        pytest.param("worker-src 'self'", id="workers"),
        pytest.param("form-action 'none'", id="forms"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/assets/glue.mjs", "/models/v2.onnx", "/missing.js"])
def test_the_policy_is_sent_with_everything(address, path, directive):
    """In the page itself it would not hold for the worker, which has the photo and its own policy."""
    try:
        headers = urllib.request.urlopen(address + path, timeout=10).headers
    except urllib.error.HTTPError as answer:
        headers = answer.headers
    assert directive in headers["Content-Security-Policy"].split("; ")


def test_the_documentation_names_the_headers_that_others_must_send():
    text = (Path(__file__).parents[2] / "docs" / "web.md").read_text(encoding="utf-8")
    for name in ("Cross-Origin-Opener-Policy", "Cross-Origin-Embedder-Policy", "Content-Security-Policy"):
        assert f"\n{name}: {HEADERS[name]}\n" in text


def test_models_come_from_the_package(address):
    with urllib.request.urlopen(f"{address}/models/v2.onnx?x=1", timeout=10) as answer:
        assert answer.read() == (WEIGHTS / "v2.onnx").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/assets/", id="a folder is not listed"),
        pytest.param("/missing.js", id="no such file"),
        pytest.param("/../secret.txt", id="above the page"),
        pytest.param("/%2e%2e/secret.txt", id="above the page, escaped"),
        pytest.param("/models/../secret.onnx", id="above the models"),
        pytest.param("/models/..%2f..%2fsecret.onnx", id="above the models, escaped"),
        pytest.param("/models/v2.json", id="weights that are no network"),
        pytest.param("/models/other.onnx", id="no such model"),
    ],
)
def test_nothing_else_is_served(address, path):
    with pytest.raises(urllib.error.HTTPError) as failed:
        urllib.request.urlopen(address + path, timeout=10)
    assert failed.value.code == 404


def test_a_browser_that_goes_away_leaves_no_traceback(address, page, capfd):
    (page / "assets" / "large.wasm").write_bytes(bytes(30_000_000))
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET /assets/large.wasm HTTP/1.1\r\nHost: here\r\n\r\n")
        connection.recv(100)
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert answer.read() == b"index.html"
    time.sleep(0.2)
    assert capfd.readouterr().err == ""


def test_a_port_in_use_is_one_clear_line(run, page):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run("web", "--port", port)
    assert outcome.code == 1
    assert f"port {port}" in outcome.err and "in use" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_a_page_that_was_not_built_is_one_clear_line(run, tmp_path, monkeypatch):
    monkeypatch.setattr(featherface.web, "PAGE", tmp_path)
    outcome = run("web", "--port", 0)
    assert outcome.code == 1
    assert "has not been built" in outcome.err and "make web" in outcome.err
    assert "pip install ." in outcome.err, "an installed copy does not see what was built in the clone"


@pytest.mark.parametrize("port", ["-1", "65536", "many"])
def test_ports_that_are_none(run, port):
    assert run("web", "--port", port).code == 2


def test_ctrl_c_ends_it(page):
    code = (
        # Where the tests run in the background, SIGINT arrives ignored.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import sys, featherface.web as web, pathlib;"
        f"web.PAGE = pathlib.Path({str(page)!r});"
        "sys.argv = ['featherface', 'web', '--port', '0'];"
        "from featherface.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-uc", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        address = process.stdout.readline().split()[0]
        assert urllib.request.urlopen(address, timeout=10).read() == b"index.html"
        process.send_signal(2)
        try:
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()
        assert process.stderr.read() == ""
