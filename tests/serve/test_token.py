"""The token: asked for under its scheme, described, and with a field on the page."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import uvicorn
from typer.testing import CliRunner

from featherface.cli import serve as command
from featherface.cli.app import build_app
from featherface.serve.settings import Settings

TOKEN = "gehe\u00edm"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({}, 401, id="none"),
        pytest.param({"authorization": "Bearer wrong"}, 401, id="another"),
        pytest.param({"authorization": f"Bearer {TOKEN}".encode()}, 200, id="the right one, not ASCII"),
        pytest.param({"authorization": f"bearer {TOKEN}".encode()}, 200, id="schemes have no case"),
        pytest.param({"authorization": TOKEN.encode()}, 401, id="no scheme"),
        pytest.param({"authorization": f"Basic {TOKEN}".encode()}, 401, id="another scheme"),
        pytest.param({"authorization": "Bearer"}, 401, id="a scheme alone"),
        pytest.param({"authorization": f"Bearer {TOKEN}x".encode()}, 401, id="more than the token"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/models"), ("POST", "/v1/detect"), ("POST", "/v1/anonymise")]
)
def test_a_token_is_asked_for(method, path, given, status, ask, photo):
    content = photo if method == "POST" else None
    answer = ask(method, path, settings={"token": TOKEN}, headers=given, content=content)
    assert answer.status_code == status, answer.text
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer" and "token" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"])
def test_the_rest_is_open(path, ask):
    assert ask("GET", path, settings={"token": TOKEN}).status_code == 200


@pytest.mark.parametrize(
    ("settings", "asked"),
    [pytest.param({"token": TOKEN}, True, id="with a token"), pytest.param({}, False, id="without")],
)
def test_the_description_and_the_page_say_so(settings, asked, ask):
    description = ask("GET", "/openapi.json", settings=settings).json()
    schemes = description["components"].get("securitySchemes", {})
    assert [scheme["scheme"] for scheme in schemes.values()] == ["bearer"] * asked
    operations = (description["paths"][path] for path in ("/v1/detect", "/v1/anonymise", "/v1/models"))
    assert all(("security" in about) == asked for methods in operations for about in methods.values())
    page = ask("GET", "/", settings=settings).text
    assert 'type="password"' in page and ('<p id="key" hidden>' not in page) == asked


@pytest.fixture
def started(monkeypatch):
    """`started(*options)`: the result of the command, the settings of what it runs, and the environment it runs in."""
    given = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **_: given.append((app, dict(os.environ))))
    monkeypatch.setattr("featherface.serve.app.create_app", lambda settings, _: settings)
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def start(*options):
        result = CliRunner().invoke(build_app(), ["serve", "--port", "8196", *options])
        if result.exit_code:
            return result, None, None
        app, environment = given.pop()
        return result, command.application() if isinstance(app, str) else app(), environment

    return start


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("in_file", "in_environment", "expected"),
    [
        pytest.param(TOKEN, None, TOKEN, id="in a file"),
        pytest.param(None, TOKEN, TOKEN, id="in the environment"),
        pytest.param(TOKEN, "another", TOKEN, id="in both: the file's"),
        pytest.param(None, None, None, id="none"),
    ],
)
def test_the_token_of_a_file_is_in_no_environment(
    workers, in_file, in_environment, expected, started, tmp_path, monkeypatch
):
    """An environment is inherited by every process, and shown to whoever may look at one."""
    options = ["--workers", workers, "--timeout", "7"]
    if in_file is not None:
        (tmp_path / "token").write_text(in_file, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        options += ["--token-file", "token"]
    if in_environment is not None:
        os.environ[command.TOKEN] = in_environment
    result, settings, environment = started(*options)
    assert result.exit_code == 0, result.output
    assert settings == Settings(timeout=7, token=expected)
    forms = TOKEN, json.dumps(TOKEN)[1:-1]
    ours = {name for name, value in environment.items() if any(form in value for form in forms)}
    assert ours == ({command.TOKEN} if in_environment == TOKEN else set())


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs descriptors with names")
@pytest.mark.parametrize(("workers", "works"), [("1", True), ("2", False)])
def test_a_token_that_can_be_read_once_is_for_one_process(workers, works, started):
    """As of a shell's `<(...)`."""
    reader, writer = os.pipe()
    os.write(writer, b"secret")
    os.close(writer)
    result, settings, _ = started("--workers", workers, "--token-file", f"/dev/fd/{reader}")
    os.close(reader)
    assert settings == Settings(token="secret") if works else "plain file" in str(result.exception)
