"""A service in this process (`ask`) or in one of its own (`serve`), and a photo with what is found in it."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from featherface import Detector
from featherface.cli.serve import anonymise
from featherface.serve.app import create_app
from featherface.serve.settings import Settings


@pytest.fixture(scope="session")
def photo(examples):
    return (examples / "eileen_collins.jpg").read_bytes()


@pytest.fixture(scope="session")
def expected(photo):
    return Detector().detect(photo).to_dict()


@pytest.fixture(scope="session")
def client_of():
    """`client_of(max_pixels=...)`: a client of a service with these settings."""

    def make(**settings):
        app = create_app(Settings(**settings), anonymise)
        return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")

    return make


@pytest.fixture(scope="session")
def ask():
    """One request to a service with these settings; opening a network takes longer than most requests."""
    app_of = functools.cache(lambda settings: create_app(settings, anonymise))

    def request(method, path, *, settings=None, **request):
        async def run():
            transport = httpx.ASGITransport(app_of(Settings(**(settings or {}))))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **request)

        return asyncio.run(run())

    return request


class Server:
    """`featherface serve` in a process of its own."""

    def __init__(self, *options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-c", "from featherface.cli import main; main()", "serve"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *options], stderr=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True,
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

    def connect(self, *head, seconds=20):
        """A connection to it, with these lines of a request's head sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        connection.sendall("\r\n".join(head).encode())
        return connection

    def stop(self):
        """End it as a service manager does; what it logged."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=60)[1]


@pytest.fixture
def serve():
    """`serve("--timeout", "3")`: a `Server`, ended with the test."""
    servers = []

    def start(*options):
        servers.append(Server(*options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)  # its workers, too, which would keep the pipe open
            server.process.communicate()
