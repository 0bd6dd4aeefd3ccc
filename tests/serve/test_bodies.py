"""Bodies that take more to be read than their pictures: refused before they are parsed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" + b"{}," * 200_000 + b"{}]", id="objects, each of a hundred times its size"),
        pytest.param(b"[" * 100_000, id="lists in lists"),
        pytest.param(b"[" + b"1," * 200_000 + b"1]", id="numbers"),
        pytest.param(b'{"a":' * 100_000, id="objects in objects"),
        pytest.param(("[" + "{}," * 200_000 + "{}]").encode("utf-16"), id="in another encoding"),
    ],
)
def test_json_of_more_values_than_pictures_is_not_parsed(body, ask, monkeypatch):
    """It would keep the service from every other answer for seconds, and cannot be broken off."""
    parser = SimpleNamespace(loads=lambda _: pytest.fail("parsed"))
    monkeypatch.setattr("featherface.serve.bodies.json", parser)
    answer = ask("POST", "/v1/detect", content=body, headers=JSON)
    assert answer.status_code == 413 and "at most 128, for 32 pictures" in answer.json()["error"], answer.text


@pytest.mark.parametrize(
    ("values", "status", "says"),
    [
        pytest.param(["data:image/jpeg;base64,AAAA"] * 32, 422, "images[31]: not a", id="as many as may be"),
        pytest.param(["AAAA"] * 34, 413, "34 pictures", id="a few too many, which are counted"),
        pytest.param(
            {"from": ["me", {"and": "you"}], "images": ["AAAA"] * 32},
            422,
            "not a",
            id="something beside them",
        ),
    ],
)
def test_json_of_so_many_pictures_is_parsed(values, status, says, ask):
    answer = ask("POST", "/v1/detect", json=values)
    assert answer.status_code == status and says in answer.json()["error"]


def test_json_nested_too_deeply_is_one_sentence(ask):
    """Only where so many pictures are allowed that it is parsed at all."""
    settings = {"max_images": 100_000}
    answer = ask("POST", "/v1/detect", settings=settings, content=b"[" * 100_000, headers=JSON)
    assert answer.status_code == 400 and "nested too deeply" in answer.json()["error"]
