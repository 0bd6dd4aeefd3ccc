"""The service: right answers to good requests, one clear sentence to broken ones, and its pages."""

from __future__ import annotations

import asyncio
import base64
import math
import re
import socket

import cv2
import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from featherface import Detector
from featherface.cli.app import build_app
from featherface.cli.serve import anonymise
from featherface.errors import ConfigError, ModelError
from featherface.serve.app import create_app
from featherface.serve.settings import Settings

JPEG = {"content-type": "image/jpeg"}


def form(data, name, charset="utf-8"):
    """A multipart request of one file, its head as it stands."""
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    return {"content": head.encode() + data + b"\r\n--x--\r\n", "headers": {"content-type": kind}}


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
def test_every_kind_of_body_gives_what_the_detector_finds(make, ask, photo, expected):
    answer = ask("POST", "/v1/detect", **make(photo))
    assert answer.status_code == 200, answer.text
    (image,) = answer.json()["images"]
    assert image["faces"] == expected and (image["width"], image["height"]) == (512, 512)


@pytest.mark.parametrize(
    ("name", "charset", "shown"),
    [
        pytest.param("\u9854 1.jpg", "utf-8", "\u9854 1.jpg", id="another script"),
        pytest.param("+2AA-", "utf-7", "\ufffd", id="half a surrogate pair, which UTF-8 cannot hold"),
        pytest.param("a\x1b[31m.jpg", "utf-8", "a\ufffd[31m.jpg", id="a terminal's colours"),
        pytest.param("a.jpg", "no-such-charset", "a.jpg", id="a charset that is none"),
    ],
)
def test_a_good_photo_is_served_under_any_name(name, charset, shown, ask, photo, expected):
    answer = ask("POST", "/v1/detect", **form(photo, name, charset))
    assert answer.status_code == 200, answer.text
    assert answer.json()["images"][0]["path"] == shown and answer.json()["images"][0]["faces"] == expected
    assert ask("POST", "/v1/anonymise", **form(photo, name, charset)).status_code == 200


def test_one_broken_picture_does_not_spoil_the_others(ask, photo, expected):
    files = [("file", ("good.jpg", photo)), ("file", ("bad.jpg", b"no picture"))]
    answer = ask("POST", "/v1/detect", files=files)
    good, bad = answer.json()["images"]
    assert answer.status_code == 200 and good["faces"] == expected and good["error"] is None
    assert bad["faces"] == [] and bad["error"].startswith("bad.jpg: ")


def test_options_are_the_detectors(ask, photo):
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
        pytest.param(
            {"content": b"[" * 100, "headers": {"content-type": "application/json"}},
            400,
            "not JSON",
            id="JSON without an end",
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
        pytest.param(
            form(b"hello", "+2AA-", "utf-7"), 422, "\ufffd: not a picture", id="a name that is half a letter"
        ),
        pytest.param(form(b"hello", "a\tb"), 422, "a\ufffdb: not", id="a name that is no text"),
        pytest.param({"content": bytes(200_001)}, 413, "larger than 200,000", id="too many bytes"),
        pytest.param(
            {"params": {"score_threshold": 2}, "content": b"x"}, 422, "score_threshold", id="a threshold"
        ),
        pytest.param({"params": {"scales": "1,x"}, "content": b"x"}, 422, "scales = '1,x'", id="scales"),
        pytest.param({"params": {"scales": "9"}, "content": b"x"}, 422, "at most 8", id="a scale too large"),
        pytest.param(
            {"params": {"scales": ",".join("1" * 9)}, "content": b"x"}, 422, "eight", id="nine scales"
        ),
        pytest.param({"params": {"tile": 255}, "content": b"x"}, 422, "tile", id="a tile too small"),
    ],
)
def test_a_broken_request_is_answered_in_one_sentence(request_, status, says, ask):
    answer = ask("POST", "/v1/detect", settings={"max_bytes": 200_000}, **request_)
    assert answer.status_code == status, answer.text
    assert says in answer.json()["error"] and "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("/v1/detect", "score_treshold", id="a typo"),
        pytest.param("/v1/anonymise", "score_treshold", id="a typo, by which fewer faces would be hidden"),
        pytest.param("/v1/anonymise", "flip", id="an option of the other endpoint"),
    ],
)
def test_an_option_that_is_none_is_named(path, name, ask, photo):
    answer = ask("POST", path, params={name: "0.5"}, content=photo)
    assert answer.status_code == 422 and answer.json()["error"].startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        pytest.param(
            ModelError("/home/me/v2.onnx: fails on images (bad alloc)"), 503, "log says", id="no memory"
        ),
        pytest.param(MemoryError(), 503, "log says", id="no memory for Python"),
        pytest.param(RuntimeError("/home/me"), 500, "not foreseen", id="a fault of ours"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/detect", "/v1/anonymise"])
def test_what_fails_inside_is_answered_in_the_same_form(
    error, status, says, path, photo, caplog, monkeypatch
):
    """What exactly failed stays in the log: it names files of the server."""

    def fail(*_):
        raise error

    monkeypatch.setattr("featherface.runtime.OnnxSession.run", fail)
    app = create_app(Settings(), anonymise)

    async def run():
        # The framework raises what it does not know once more, for the server to log.
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(path, content=photo), await client.get("/readyz")

    answer, ready = asyncio.run(run())
    assert answer.status_code == status and says in answer.json()["error"], answer.text
    assert "/home/me" not in answer.text and ready.status_code == 200
    if status == 503:
        assert answer.headers["retry-after"] and caplog.records[-1].exc_info[1] is error


def test_too_many_pixels_are_refused_before_they_are_unpacked(ask, photo):
    declared = cv2.imencode(".png", np.zeros((300, 400), np.uint8))[1].tobytes()
    for query, data in (({}, declared), ({"scales": "4"}, photo)):
        answer = ask("POST", "/v1/detect", settings={"max_pixels": 90_000 if not query else 300_000}, params=query,
                     content=data)  # fmt: skip
        assert answer.status_code == 413 and "pixels" in answer.json()["error"]


def test_anonymised_photos_show_no_face_and_keep_no_metadata(ask, photo):
    answer = ask("POST", "/v1/anonymise", params={"method": "pixelate"}, content=photo, headers=JPEG)
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-faces"] == "1" and len(Detector().detect(answer.content)) == 0
    assert b"Exif" not in answer.content


def test_models_and_metrics(client_of, photo):
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


@pytest.mark.parametrize(
    ("path", "says"), [("/", "Drop a photo"), ("/docs", "openapi.json")], ids=["the page", "the endpoints"]
)
def test_pages_fetch_nothing_from_elsewhere(path, says, ask):
    page = ask("GET", path).text
    assert says in page and not re.search(r"""https?://|(?:src|href)=["']?//""", page)


def test_the_service_hides_what_the_command_hides(ask, photo, monkeypatch):
    """A face as unsure as 0.25 is left as it is, one of 0.35 is not: the command line's threshold."""
    seen = []
    monkeypatch.setattr(
        "featherface.serve.service.Service.hide",
        lambda self, upload, how, end: (seen.append(how), (b"", "image/png", 0))[1],
    )
    assert ask("POST", "/v1/anonymise", content=photo).status_code == 200
    assert seen[0].score_threshold == 0.2


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"max_requests": 0}, "max_requests"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": math.nan}, "timeout = nan: must be a number of at most 1,000,000"),
        ({"timeout": math.inf}, "timeout = inf: must be"),
        ({"timeout": 1e300}, "timeout = 1e[+]300: must be"),
        ({"token": ""}, "token is empty"),
        ({"token": "a\nb"}, "no header can carry"),
        ({"max_connections": 0}, "max_connections"),
    ],
)
def test_settings_make_sense(values, says):
    with pytest.raises(ConfigError, match=says):
        Settings(**values)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--model", "none.onnx"], "none.onnx: no such file", id="a missing model"),
        pytest.param(["--max-bytes", "0"], "max_bytes = 0", id="a limit of nothing"),
        pytest.param(["--timeout", "nan"], "timeout = nan", id="a time that is no number"),
        pytest.param(["--timeout", "inf"], "timeout = inf", id="a time without an end"),
        pytest.param(["--token-file", "/nonexistent"], "/nonexistent: no such file", id="a missing token"),
        pytest.param(["--token-file", "{binary}"], "the token is not UTF-8", id="a token that is no text"),
        pytest.param(["--host", "203.0.113.1"], "cannot be listened on", id="another machine's address"),
    ],
)
def test_what_cannot_be_served_is_one_line(options, says, tmp_path):
    binary = tmp_path / "token"
    binary.write_bytes(b"\xff\xfe")
    options = [option.format(binary=binary) for option in options]
    result = CliRunner().invoke(build_app(), ["serve", *options])
    assert result.exit_code == 1 and says in str(result.exception)


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(build_app(), ["serve", "--port", str(port)])
    assert result.exit_code == 1 and "already in use" in str(result.exception)
