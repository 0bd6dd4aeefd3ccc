"""The token: asked for under its scheme, described, and with a field on the page."""

from __future__ import annotations

import pytest

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
