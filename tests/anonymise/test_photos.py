"""`featherface anonymise` on photos, through the command line."""

from __future__ import annotations

import io
import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from typer.testing import CliRunner

from featherface import Detector
from featherface.anonymise import anonymise_photo
from featherface.anonymise.metadata import clean_exif
from featherface.anonymise.photo import anonymise_bytes
from featherface.cli.app import build_app
from featherface.errors import FeatherFaceError

FACE = (slice(80, 160), slice(200, 255))  # of Eileen Collins, in the sample picture


@pytest.fixture(scope="module")
def detector():
    return Detector(score_threshold=0.3, threads=2)


def run(*arguments):
    return CliRunner().invoke(build_app(), ["anonymise", *map(str, arguments)])


def with_metadata(portrait, orientation=1):
    """A JPEG whose EXIF has an orientation, a GPS position, a camera and a thumbnail that shows the face."""
    thumbnail = io.BytesIO()
    Image.fromarray(portrait).resize((160, 160)).save(thumbnail, "JPEG")
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Camera maker"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8769)[0x927C] = b"MAKERNOTE" * 20
    raw = bytearray(exif.tobytes())
    raw = _with_thumbnail(raw, thumbnail.getvalue())
    out = io.BytesIO()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(portrait).save(out, "JPEG", exif=bytes(raw), icc_profile=profile, quality=95)
    return out.getvalue(), thumbnail.getvalue()


def _with_thumbnail(exif, thumbnail):
    """IFD1 with the JPEG tags, appended to EXIF that has none."""
    base = 6
    order = "little" if exif[base : base + 2] == b"II" else "big"
    first = int.from_bytes(exif[base + 4 : base + 8], order)
    count = int.from_bytes(exif[base + first : base + first + 2], order)
    link = base + first + 2 + 12 * count
    start = len(exif) - base
    exif[link : link + 4] = start.to_bytes(4, order)
    body = start + 2 + 24 + 4

    def entry(tag, value):
        return (
            tag.to_bytes(2, order)
            + (4).to_bytes(2, order)
            + (1).to_bytes(4, order)
            + value.to_bytes(4, order)
        )

    exif += (
        (2).to_bytes(2, order) + entry(0x0201, body) + entry(0x0202, len(thumbnail)) + bytes(4) + thumbnail
    )
    return exif


def test_the_face_is_gone_and_the_original_is_untouched(examples, tmp_path, portrait):
    source = examples / "eileen_collins.jpg"
    before = source.read_bytes()
    result = run(source, "--save", tmp_path / "out", "--check")
    assert result.exit_code == 0, result.output
    assert "1 faces hidden" in result.output and "none visible" in result.output
    after = cv2.imread(str(tmp_path / "out" / source.name), cv2.IMREAD_COLOR_RGB)
    detail = [cv2.Laplacian(p[FACE], cv2.CV_32F).std() for p in (portrait, after)]
    assert detail[1] < detail[0] / 4
    assert np.abs(after[400:].astype(int) - portrait[400:]).mean() < 2, "elsewhere it is the same picture"
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "pixelate"),
        ("--method", "solid", "--colour", "ff0000"),
        ("--shape", "box"),
        ("--grow", "2"),
    ],
    ids=" ".join,
)
def test_every_way_of_hiding(examples, tmp_path, portrait, options):
    assert run(examples / "eileen_collins.jpg", "--save", tmp_path, *options).exit_code == 0
    after = cv2.imread(str(tmp_path / "eileen_collins.jpg"), cv2.IMREAD_COLOR_RGB)
    assert np.abs(after[FACE].astype(int) - portrait[FACE]).mean() > 5
    if "solid" in options:
        assert np.abs(after[120, 227].astype(int) - (255, 0, 0)).max() < 12


def test_a_picture_of_the_users(examples, tmp_path):
    cover = tmp_path / "cover.png"
    Image.new("RGBA", (40, 40), (0, 0, 255, 255)).save(cover)
    result = run(examples / "eileen_collins.jpg", "--save", tmp_path, "--method", "image", "--image", cover)
    assert result.exit_code == 0
    after = cv2.imread(str(tmp_path / "eileen_collins.jpg"), cv2.IMREAD_COLOR_RGB)
    assert np.abs(after[120, 227].astype(int) - (0, 0, 255)).max() < 12


def test_metadata_goes(detector, tmp_path, portrait):
    data, thumbnail = with_metadata(portrait)
    assert thumbnail in data, "the test's picture has what must go"
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    done = anonymise_photo(path, detector)
    picture = Image.open(io.BytesIO(done.data))
    assert not picture.getexif() and "xmp" not in picture.info
    assert b"Camera maker" not in done.data and b"MAKERNOTE" not in done.data
    assert thumbnail[-900:-500] not in done.data
    assert picture.info.get("icc_profile"), "the colour profile stays"


def test_kept_metadata_has_neither_thumbnail_nor_a_second_turn(detector, tmp_path, portrait):
    lying = np.ascontiguousarray(np.rot90(portrait, 1))  # EXIF 6 turns it back, clockwise
    data, thumbnail = with_metadata(lying, orientation=6)
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    done = anonymise_photo(path, detector, keep_metadata=True)
    picture = Image.open(io.BytesIO(done.data))
    exif = picture.getexif()
    assert exif[0x010F] == "Camera maker" and exif.get_ifd(0x8825)[1] == "N"
    assert exif[0x0112] == 1 and done.picture.shape == portrait.shape
    assert np.abs(done.picture[400:].astype(int) - portrait[400:]).mean() < 3, "it stands upright"
    assert thumbnail[-900:-500] not in done.data and b"MAKERNOTE" not in done.data


def test_broken_exif_is_dropped():
    for exif in (b"", b"nothing", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"):
        assert clean_exif(exif) == b""


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".avif", ".tif"])
def test_formats_stay(portrait, tmp_path, suffix):
    source = tmp_path / f"photo{suffix}"
    Image.fromarray(portrait).save(source)
    assert run(source, "--save", tmp_path / "out").exit_code == 0
    assert Image.open(tmp_path / "out" / source.name).size == portrait.shape[1::-1]


def test_a_gif_becomes_a_png(portrait, tmp_path):
    Image.fromarray(portrait).save(tmp_path / "a.gif")
    assert run(tmp_path / "a.gif", "--save", tmp_path / "out").exit_code == 0
    assert Image.open(tmp_path / "out" / "a.gif.png").format == "PNG"


@pytest.mark.parametrize("link", ["same folder", "symbolic link", "hard link"])
def test_the_original_is_never_overwritten(examples, tmp_path, link):
    source = tmp_path / "photo.jpg"
    shutil.copy(examples / "eileen_collins.jpg", source)
    folder = tmp_path
    if link != "same folder":
        folder = tmp_path / "out"
        folder.mkdir()
        target = folder / "photo.jpg"
        target.symlink_to(source) if link == "symbolic link" else target.hardlink_to(source)
    before = source.read_bytes()
    result = run(source, "--save", folder)
    assert result.exit_code == 1 and "never overwritten" in result.output
    assert source.read_bytes() == before


def test_one_bad_input_does_not_stop_the_others(examples, tmp_path):
    (tmp_path / "bad.jpg").write_bytes((examples / "grace_hopper.jpg").read_bytes()[:2000])
    report = tmp_path / "report.json"
    result = run(
        tmp_path / "bad.jpg", tmp_path / "missing.jpg", examples / "eileen_collins.jpg", "--save", tmp_path / "out",
        "--check", "--json", report,
    )  # fmt: skip
    assert result.exit_code == 1
    assert "bad.jpg: truncated" in result.output and "missing.jpg" in result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["eileen_collins.jpg"]
    bad, missing, good = json.loads(report.read_text())["results"]
    assert bad["error"] and missing["error"] and bad["saved"] is None
    assert good["error"] is None and good["hidden"] == 1 and good["visible"] == []


def test_the_check_finds_what_was_left(examples, tmp_path, monkeypatch):
    monkeypatch.setattr("featherface.anonymise.photo.hide", lambda picture, boxes, style: picture)
    monkeypatch.setattr(
        "featherface.anonymise.photo.find_faces", lambda d, p: d.detect(p).filter(score_threshold=2)
    )
    result = run(examples / "eileen_collins.jpg", "--save", tmp_path, "--check")
    assert result.exit_code == 1 and "may be visible" in result.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--method", "smear"), "smear"),
        (("--colour", "red"), "red"),
        (("--method", "image"), "--image"),
        (("--grow", "0"), "grow"),
        (("--every", "0"), "every"),
        (("--model", "none"), "none"),
        (("--image", "nowhere.png"), "nowhere"),
    ],
)
def test_bad_options(examples, tmp_path, options, reason):
    result = run(examples / "eileen_collins.jpg", "--save", tmp_path, *options)
    assert result.exit_code != 0
    assert isinstance(result.exception, FeatherFaceError) and reason in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".gif", ".png", ".jpg", ".webp", ".bmp"])
def test_a_picture_of_one_pixel_is_a_picture(suffix):
    data = cv2.imencode(suffix, np.zeros((1, 1, 3), np.uint8))[1].tobytes()
    done = anonymise_bytes(data, "dot", suffix, Detector())
    assert done.picture.shape == (1, 1, 3) and len(done.found) == 0
