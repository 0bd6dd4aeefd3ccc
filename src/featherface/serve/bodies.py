"""Pictures out of a request's body: raw, multipart, or a JSON list of base64."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import unicodedata
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from featherface.errors import ImageError
from featherface.image_headers import declared_size, is_truncated
from featherface.serve.problems import RequestError
from featherface.serve.settings import Settings

_BESIDE = 64
"""Fields of a form, or signs of JSON, beside the pictures: some clients send more than is asked for."""
_BLANKS = 64
"""Behind a delimiter of a form, where hardly anybody has any."""
_NO_FORM = (MultiPartException, FormParserError, UnicodeError)
"""What a form can be to blame for: the last by its charset, in which the parser reads names."""


@dataclass(frozen=True)
class Upload:
    """One picture as it came."""

    name: str
    data: bytes


async def read_uploads(request: Request, settings: Settings, count: Callable[[int], None]) -> list[Upload]:
    """All pictures of a request. RequestError 400, 408, 413 or 415 for a body that is none, too slow or too large.

    `count` is told of the bytes as they arrive, and may raise.
    """
    body = await _read_body(request, settings, count)
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        uploads = await _from_form(request, body, settings)
    elif kind == "application/json":
        uploads = _from_json(body, settings)
    elif kind in ("", "application/octet-stream") or kind.startswith("image/"):
        uploads = [Upload("picture", body)]
    else:
        raise RequestError(415, f"content-type {kind}: send image/*, multipart/form-data or application/json")
    if not uploads:
        raise RequestError(400, "the request holds no pictures")
    if len(uploads) > settings.max_images:
        raise RequestError(413, f"{len(uploads)} pictures; at most {settings.max_images} in one request")
    return uploads


def check_size(upload: Upload, max_pixels: int) -> tuple[int, int]:
    """Width and height that the file declares. RequestError 413 for too many, ImageError when it declares none.

    A few hundred bytes can unpack into gigabytes, so nothing is unpacked whose size is not known before.
    """
    size = declared_size(upload.data)
    if size is None:
        what = "truncated" if is_truncated(upload.data) else "not a picture"
        raise ImageError(f"{upload.name}: {what}; this reads JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP")
    width, height = size
    if width * height > max_pixels:
        raise RequestError(413, f"{upload.name}: {width}x{height} is more than {max_pixels:,} pixels")
    return size


async def _read_body(request: Request, settings: Settings, count: Callable[[int], None]) -> bytes:
    too_large = RequestError(413, f"the body is larger than {settings.max_bytes:,} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > settings.max_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(settings.timeout):
            async for chunk in request.stream():
                if len(body) + len(chunk) > settings.max_bytes:
                    raise too_large
                count(len(chunk))
                body += chunk
    except TimeoutError as error:
        raise RequestError(408, f"the body did not arrive within {settings.timeout:g} seconds") from error
    except ClientDisconnect as error:
        raise RequestError(400, "the connection was closed before the body had arrived") from error
    if not body:
        raise RequestError(400, "the body is empty")
    return bytes(body)


class _InMemory(MultiPartParser):
    """Files of a form stay in memory, which the body's limit bounds: what is sent here is written to no disk."""

    spool_max_size = 0
    """Bytes from which on a file is: none."""


async def _from_form(request: Request, body: bytes, settings: Settings) -> list[Upload]:
    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    most = settings.max_images + _BESIDE
    _check_delimiters(request, body, most)
    try:
        form = await _InMemory(request.headers, whole(), max_files=most, max_fields=_BESIDE).parse()
    except _NO_FORM as error:
        raise RequestError(400, "the multipart body cannot be read") from error
    files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
    uploads = [Upload(_printable(file.filename) or "picture", await file.read()) for file in files]
    await form.close()
    return uploads


def _check_delimiters(request: Request, body: bytes, most: int) -> None:
    """RequestError for what would keep the parser, and so every other answer, for seconds.

    It goes from delimiter to delimiter in no time, but from byte to byte at each of them and in the blanks behind it.
    """
    _, options = parse_options_header(request.headers["content-type"])
    delimiter = b"\r\n--" + options.get(b"boundary", b"")
    parts = body.split(delimiter, most + 1)[1:]
    if len(parts) > most:
        raise RequestError(413, f"more than {most} parts in the multipart body")
    if any(len(part) > _BLANKS and not part[:_BLANKS].strip(b" \t") for part in parts):
        raise RequestError(400, f"{_BLANKS} blanks or more behind a delimiter of the multipart body")


def _printable(name: str | None) -> str:
    """Without control characters and halves of surrogate pairs, which neither an answer nor a log can hold."""
    bad = {"Cc", "Cs"}
    return "".join("\ufffd" if unicodedata.category(letter) in bad else letter for letter in name or "")


def _from_json(body: bytes, settings: Settings) -> list[Upload]:
    """A list of base64 texts, or {"images": that list}."""
    # Every value but the first follows one of these signs. Millions of them are parsed in one go, for seconds in which
    # nothing else is answered, into objects of many times their size. A picture takes two: one parts it from the next,
    # one is in a data: URL, and base64 has none.
    signs, most = sum(map(body.count, (b"{", b"[", b","))), 2 * settings.max_images + _BESIDE
    if signs > most:
        message = (
            f"{signs:,} times {{, [ or , in the JSON; at most {most:,}, for {settings.max_images} pictures"
        )
        raise RequestError(413, message)
    try:
        values = json.loads(body)
    except RecursionError as error:
        raise RequestError(400, "the body is JSON nested too deeply") from error
    except ValueError as error:
        raise RequestError(400, f"the body is not JSON ({error})") from error
    if isinstance(values, dict):
        values = values.get("images")
    if not isinstance(values, list):
        raise RequestError(400, 'expected a list of base64 texts, or {"images": [...]}')
    return [Upload(f"images[{i}]", _from_base64(text, i)) for i, text in enumerate(values)]


def _from_base64(text: object, number: int) -> bytes:
    if not isinstance(text, str):
        raise RequestError(400, f"images[{number}] is no text; a picture is its file in base64")
    try:
        # A data: URL is what a browser has at hand.
        return base64.b64decode(text.rpartition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, f"images[{number}] is not base64 ({error})") from error
