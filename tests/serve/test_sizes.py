"""Sizes are read before anything is unpacked: a small file must not become a large picture first."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from featherface.image_headers import declared_size


def saved(size, kind, mode="RGB", **options):
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


def moving(size, kind):
    frames = [Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8)) for value in (0, 255)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


def tiff(*entries, order="<", big=False):
    """A folder of (tag, type, value) and nothing else."""
    head = struct.pack(f"{order}2sH", b"II" if order == "<" else b"MM", 43 if big else 42)
    head += struct.pack(f"{order}HHQ", 8, 0, 16) if big else struct.pack(f"{order}I", 8)
    body = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    for tag, kind, value in entries:
        wide = 8 if big else 4
        body += struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, kind, 1)
        body += struct.pack(f"{order}{ {3: 'H', 4: 'I', 16: 'Q'}[kind] }", value).ljust(wide, b"\0")
    return head + body


@pytest.mark.parametrize(
    ("data", "size"),
    [
        pytest.param(saved((400, 300), "JPEG"), (400, 300), id="JPEG"),
        pytest.param(saved((400, 300), "PNG"), (400, 300), id="PNG"),
        pytest.param(saved((400, 300), "GIF"), (400, 300), id="GIF"),
        pytest.param(saved((400, 300), "BMP"), (400, 300), id="BMP"),
        pytest.param(
            b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 400, 300, 1, 24), (400, 300), id="OS/2's BMP"
        ),
        pytest.param(saved((9000, 9000), "WEBP"), (9000, 9000), id="WebP"),
        pytest.param(saved((400, 300), "WEBP", lossless=True), (400, 300), id="WebP without loss"),
        pytest.param(saved((400, 300), "WEBP", exif=b"Exif\0\0II*\0"), (400, 300), id="WebP with metadata"),
        pytest.param(moving((400, 300), "WEBP"), (400, 300), id="moving WebP"),
        pytest.param(saved((6000, 5000), "AVIF", speed=10), (6000, 5000), id="AVIF"),
        pytest.param(saved((400, 300), "AVIF", "RGBA"), (400, 300), id="AVIF with a second picture for alpha"),
        pytest.param(moving((400, 300), "AVIF"), (400, 300), id="moving AVIF"),
        pytest.param(saved((400, 300), "TIFF"), (400, 300), id="TIFF"),
        pytest.param(saved((400, 300), "TIFF", big_tiff=True), (400, 300), id="BigTIFF"),
        pytest.param(tiff((256, 3, 400), (257, 4, 300), order=">"), (400, 300), id="big-endian TIFF"),
        pytest.param(tiff((256, 16, 400), (257, 3, 300), big=True), (400, 300), id="TIFF with 64 bits"),
        pytest.param(
            tiff((256, 3, 4), (257, 3, 3), (322, 4, 30_000), (323, 4, 20_000)), (30_000, 20_000), id="huge tiles"
        ),
        pytest.param(
            tiff((256, 3, 4), (256, 4, 9000), (257, 3, 3)), (9000, 3), id="a TIFF that says it twice"
        ),
        pytest.param(tiff((256, 3, 400)), None, id="a TIFF without a height"),
        pytest.param(tiff((256, 3, 400), (257, 3, 300))[:12], None, id="a TIFF cut in its folder"),
        pytest.param(b"II*\0\xff\xff\xff\xff", None, id="a TIFF whose folder is beyond its end"),
        pytest.param(b"RIFF\x10\0\0\0WEBPVP8X", None, id="half a WebP"),
        pytest.param(b"RIFF\x10\0\0\0WAVEfmt " + bytes(40), None, id="a sound"),
        pytest.param(b"\0\0\0\x14ftypisom\0\0\0\0avif" + bytes(40), None, id="an AVIF of nothing"),
        pytest.param(b"P6 40000 40000 255\n", None, id="a format that nobody reads here"),
    ],
)  # fmt: skip
def test_the_size_is_in_the_header(data, size):
    assert declared_size(data) == size


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved((9000, 9000), "WEBP"), id="WebP, 81 megapixels in 3 kB"),
        pytest.param(saved((6000, 6000), "AVIF", speed=10), id="AVIF, 36 megapixels in under 1 kB"),
        pytest.param(saved((6000, 6000), "TIFF", "1", compression="group4"), id="TIFF, 36 megapixels"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/detect", "/v1/anonymise"])
def test_a_large_picture_in_a_small_file_is_not_unpacked(ask, data, path, monkeypatch):
    monkeypatch.setattr("featherface.serve.service.decode_image", lambda *_: pytest.fail("unpacked"))
    answer = ask("POST", path, settings={"max_pixels": 30_000_000}, content=data)
    assert answer.status_code == 413 and "is more than 30,000,000 pixels" in answer.json()["error"]


def test_a_format_whose_size_cannot_be_read_is_refused(ask, monkeypatch):
    monkeypatch.setattr("featherface.serve.service.decode_image", lambda *_: pytest.fail("unpacked"))
    answer = ask("POST", "/v1/detect", content=b"P6 40000 40000 255\n" + bytes(100))
    assert answer.status_code == 422 and "JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP" in answer.json()["error"]
