"""Pictures that move or have pages: the first is kept, and one line says so."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from featherface.cli.app import build_app
from featherface.image_frames import has_more_frames

KINDS = {"GIF": ".gif", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif", "TIFF": ".tif"}


def pictures(kind, count, **options):
    """A file of pictures that differ."""
    random, out = np.random.default_rng(0), io.BytesIO()
    frames = [Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)) for _ in range(count)]
    several = {"save_all": True, "append_images": frames[1:]} if count > 1 else {}
    try:
        frames[0].save(out, kind, **several, **options)
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow writes no {kind}: {error}")
    return out.getvalue()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_which_files_have_more(kind, count):
    assert has_more_frames(pictures(kind, count)) is (count > 1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GIF", {"comment": b"a remark " * 60}),
        ("JPEG", {}),
        ("BMP", {}),
        ("TIFF", {"big_tiff": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("PNG", {"pnginfo": None}),
    ],
    ids=str,
)
def test_one_picture_with_something_beside_it_is_one(kind, options):
    assert not has_more_frames(pictures(kind, 1, **options))


def test_a_big_tiff_of_two_pages():
    assert has_more_frames(pictures("TIFF", 2, big_tiff=True))


@pytest.mark.parametrize("kind", KINDS)
def test_broken_ones_end(kind):
    data = pictures(kind, 3)
    for end in range(0, len(data), max(1, len(data) // 200)):
        assert has_more_frames(data[:end]) in (False, True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 3])
def test_the_command_says_so(tmp_path, kind, count):
    name = f"p{KINDS[kind]}"
    (tmp_path / name).write_bytes(pictures(kind, count))
    for quiet in ([], ["-q"]):
        save = tmp_path / f"out{len(quiet)}"
        result = CliRunner().invoke(
            build_app(), ["anonymise", str(tmp_path / name), "--save", str(save), *quiet]
        )
        assert result.exit_code == 0, result.output
        said = f"featherface: {tmp_path / name}: holds several pictures, only the first is kept\n"
        assert result.stderr == (said if count > 1 and not quiet else "")
        assert [cv2.imcount(str(path)) for path in save.iterdir()] == [1]
