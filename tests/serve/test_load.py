"""benchmarks/service.py: what it counts as right is right."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

GOOD = {"good": {"200"}, "slow": {"200"}}
BROKEN = {
    "truncated": {"422"}, "text": {"422"}, "type": {"415"}, "huge": {"413"}, "objects": {"413"},
    "delimiters": {"413"}, "disconnect": {"0"}, "stalled": {"408"}, "unread": {"-3"},
}  # fmt: skip


@pytest.fixture(scope="module")
def clients(examples):
    """The module of broken clients."""
    sys.path.insert(0, str(examples.parent / "benchmarks"))
    import service_broken

    sys.path.pop(0)
    return service_broken


@pytest.mark.parametrize(
    ("status", "body", "judged"),
    [
        pytest.param(200, b"right", 200, id="the photo's faces"),
        pytest.param(200, b"wrong", -1, id="other faces"),
        pytest.param(422, b'{"error": "text: not a picture"}', 422, id="one sentence"),
        pytest.param(422, b"not a picture", -2, id="no JSON"),
        pytest.param(422, b'{"detail": "not a picture"}', -2, id="the framework's own form"),
        pytest.param(422, b'["error"]', -2, id="a list"),
        pytest.param(422, b'{"error": ""}', -2, id="nothing said"),
        pytest.param(500, b'{"error": "a\\nb"}', -2, id="more than one line"),
    ],
)
def test_an_error_has_to_say_what_is_wrong(status, body, judged, clients):
    assert clients.judged(status, body, b"right") == judged


@pytest.mark.long
@pytest.mark.parametrize("kind", [*BROKEN, "slow"])
def test_every_kind_is_answered_as_it_should_be(kind, clients, serve, photo):
    import httpx

    server = serve("--timeout", "3")
    with httpx.Client(base_url=server.url, timeout=60) as session:
        right = session.post("/v1/detect", content=photo).content
        assert str(clients.ask(session, kind, photo, right, 3)) in (BROKEN | GOOD)[kind]


@pytest.mark.long
def test_slow_ones_that_are_good_are_counted_apart(examples, tmp_path):
    out = tmp_path / "figures.json"
    command = [sys.executable, examples.parent / "benchmarks" / "service.py", "--json", out]
    options = ("--requests", "150", "--clients", "4", "--broken", "0.3")
    subprocess.run([*command, *options], check=True, capture_output=True, timeout=300)
    figures = json.loads(out.read_text())
    assert set(figures["slow_but_good"]) == {"200"} and "slow" not in figures["answers"]
    for kind, found in figures["answers"].items():
        assert set(found) <= (GOOD | BROKEN)[kind], kind
