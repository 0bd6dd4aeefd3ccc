"""Several processes behind one port."""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time

import httpx
import pytest
from prometheus_client.mmap_dict import MmapedDict
from typer.testing import CliRunner

from featherface.cli.app import build_app

pytestmark = pytest.mark.long


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """`folders()`: those that a server left among the temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return lambda: list(tmp_path.iterdir())


def metric(server, name):
    """Of all processes, as whichever answers says."""
    text = httpx.get(f"{server.url}/metrics", timeout=60).text
    return float(re.search(rf"^featherface_{name} (\S+)$", text, re.MULTILINE)[1])


def each(folder, kind, name):
    """{process: value}: what each of them keeps of one metric in the folder that they share."""
    found = {}
    for file in folder.glob(f"{kind}_*.db"):
        values = {json.loads(key)[1]: value for key, value, *_ in MmapedDict.read_all_values_from_file(file)}
        found[int(file.stem.rpartition("_")[2])] = values.get(f"featherface_{name}", 0)
    return found


def wait_until(ready, seconds=60):
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_workers_answer_side_by_side_and_end_when_what_is_in_hand_is_done(
    serve, folders, photo, expected
):
    """SIGTERM goes to the process that was started: its workers take the rest of a body, answer, and end."""
    server = serve("--workers", "2", "--cores", "1", "--timeout", "20")

    def all_have_looked():
        httpx.post(f"{server.url}/v1/detect", content=photo, timeout=60).raise_for_status()
        looked = each(*folders(), "counter", "pictures_total").values()
        return len(looked) == 2 and all(looked)

    wait_until(all_have_looked)
    total = sum(each(*folders(), "counter", "pictures_total").values())
    assert {metric(server, "pictures_total") for _ in range(10)} == {total}, "whichever is asked"
    taken = CliRunner().invoke(build_app(), ["serve", "--workers", "2", "--port", str(server.port)])
    assert taken.exit_code == 1 and "already in use" in str(taken.exception)
    assert "\n" not in str(taken.exception)

    head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n"
    with server.connect(head, seconds=60) as connection:
        connection.sendall(photo[:1000])
        wait_until(lambda: all(metric(server, "body_bytes") == 1000 for _ in range(10)))
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
    assert not folders(), "nothing is left of what they shared"


def test_a_worker_that_dies_leaves_what_it_counted_and_takes_what_it_had_in_hand(serve, folders, photo):
    server = serve("--workers", "2", "--cores", "1")
    wait_until(lambda: len(each(*folders(), "counter", "pictures_total")) == 2)
    for _ in range(5):
        httpx.post(f"{server.url}/v1/detect", content=photo, timeout=60).raise_for_status()
    head = f"POST /v1/detect HTTP/1.1\r\nHost: x\r\nContent-Length: {len(photo)}\r\n\r\n"
    with server.connect(head, seconds=60) as connection:
        connection.sendall(photo[:1000])
        wait_until(lambda: sum(each(*folders(), "gauge_livesum", "body_bytes").values()) == 1000)
        (holder,) = (
            pid for pid, held in each(*folders(), "gauge_livesum", "body_bytes").items() if held == 1000
        )
        os.kill(holder, signal.SIGKILL)
        wait_until(lambda: metric(server, "body_bytes") == 0)
    assert metric(server, "pictures_total") == 5
    wait_until(lambda: len(each(*folders(), "counter", "pictures_total")) == 3)
    server.stop()
    assert not folders()


def test_workers_without_a_folder_for_temporary_files_are_refused_in_one_line(monkeypatch):
    def refuse(*_):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    refused = CliRunner().invoke(build_app(), ["serve", "--workers", "2", "--port", "8195"])
    assert refused.exit_code == 1 and "temporary files, to add up their metrics" in str(refused.exception)
    assert "\n" not in str(refused.exception)
