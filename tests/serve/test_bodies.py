"""Bodies: what takes more to be read than its pictures is refused, and nothing is written to a disk."""

from __future__ import annotations

import asyncio
import tempfile
from types import SimpleNamespace

import httpx
import pytest
from starlette.formparsers import MultiPartParser

from featherface.cli.serve import anonymise
from featherface.serve.app import create_app
from featherface.serve.settings import Settings

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


PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param(
            PART + b"\r\n--xy" * 9999, 413, "more than 96 parts", id="lines that begin as a delimiter"
        ),
        pytest.param(PART + b"\r\n--x" + b" " * 9999, 400, "blanks", id="blanks behind a delimiter"),
        pytest.param(b"--x\r\n\r\n" * 9999, 413, "more than 96 parts", id="parts of nothing"),
    ],
)
def test_a_form_that_takes_long_to_be_read_is_not_parsed(body, status, says, ask, monkeypatch):
    monkeypatch.setattr(MultiPartParser, "parse", lambda _: pytest.fail("parsed"))
    answer = ask("POST", "/v1/detect", content=body, headers=FORM)
    assert answer.status_code == status and says in answer.json()["error"], answer.text


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param(PART + b"a\r\n--x  \r\n" + PART[5:] + b"b\r\n--x--", 422, "not a", id="two blanks"),
        pytest.param(PART + b"\r\n--y" * 9999 + b"\r\n--x--", 422, "not a", id="lines as of another form"),
        pytest.param((PART + b"a\r\n") * 40 + b"--x--", 413, "40 pictures; at most 32", id="too many files"),
    ],
)
def test_a_form_that_is_read_quickly_is_parsed(body, status, says, ask):
    answer = ask("POST", "/v1/detect", content=body, headers=FORM)
    assert answer.status_code == status and says in answer.json()["error"], answer.text


@pytest.mark.parametrize("charset", ["undefined", "idna", "punycode"])
def test_a_charset_that_reads_nothing_is_the_senders_fault(charset, ask):
    """Not every codec fails as the parser expects."""
    headers = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    body = PART.replace(b'"a"', b'"xn--a-99999999999"') + b"a\r\n--x--"
    answer = ask("POST", "/v1/detect", content=body, headers=headers)
    assert answer.status_code in (400, 422), answer.text


@pytest.fixture
def no_disk(monkeypatch):
    """A machine without a folder for temporary files."""

    def refuse(*_, **__):
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)


def test_a_large_file_of_a_form_is_written_to_no_disk(no_disk, ask, photo, expected):
    """JPEG decoders leave what follows a picture."""
    files = {"file": ("photo.jpg", photo + bytes(3_000_000))}
    answer = ask("POST", "/v1/detect", files=files)
    assert answer.status_code == 200 and answer.json()["images"][0]["faces"] == expected, answer.text


def test_a_fault_of_ours_is_not_the_senders(monkeypatch, photo):
    def fail(_):
        raise OSError("/tmp/x: no space left")

    monkeypatch.setattr(MultiPartParser, "parse", fail)
    app = create_app(Settings(), anonymise)

    async def ask():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/v1/detect", files={"file": photo})

    answer = asyncio.run(ask())
    assert answer.status_code == 500 and "/tmp" not in answer.text
