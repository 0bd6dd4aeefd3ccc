"""EXIF and XMP that are kept hold no picture: folders of tags made by hand, as cameras and programs write them."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, TiffImagePlugin

from featherface.anonymise.metadata import clean_exif, holds_picture, kept_metadata

SHORT, LONG, UNDEFINED, FOLDER = 3, 4, 7, 13
ORIENTATION, MAKER, EXIF, GPS, SUB_FOLDERS, MAKER_NOTE = 0x0112, 0x010F, 0x8769, 0x8825, 0x014A, 0x927C
JPEG, JPEG_LENGTH, STRIPS, STRIP_LENGTHS = 0x0201, 0x0202, 0x0111, 0x0117
PICTURE = b"PICTURE-OF-A-FACE"


def exif(folders, values, order="<"):
    """EXIF of `folders`, each a list of (tag, kind, count, value) and the next folder; names stand for offsets.

    `values` lie behind the folders: bytes, or a tuple of names.
    """
    places, at = {}, 8
    for name, (tags, _) in folders.items():
        places[name], at = at, at + 6 + 12 * len(tags)
    for name, value in values.items():
        places[name], at = at, at + (len(value) if isinstance(value, bytes) else 4 * len(value))

    def number(value):
        return places.get(value, value)

    data = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    for tags, after in folders.values():
        data += struct.pack(order + "H", len(tags))
        for tag, kind, count, value in tags:
            inline = "HH" if kind == SHORT and count == 1 else "I"
            data += struct.pack(
                order + "HHI" + inline, tag, kind, count, number(value), *[0] * (inline == "HH")
            )
        data += struct.pack(order + "I", number(after))
    for value in values.values():
        data += (
            value if isinstance(value, bytes) else struct.pack(f"{order}{len(value)}I", *map(number, value))
        )
    return data


def jpeg(place="picture"):
    return [(JPEG, LONG, 1, place), (JPEG_LENGTH, LONG, 1, len(PICTURE))]


MAIN = [(ORIENTATION, SHORT, 1, 6), (MAKER, 2, 8, "maker")]
NOTE = [(MAKER_NOTE, UNDEFINED, len(PICTURE), "picture")]
KEPT = {"maker": b"A maker\0"}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("folders", "why"),
    [
        ({"main": (MAIN, "one"), "one": (jpeg(), 0)}, "the usual thumbnail"),
        (
            {"main": (MAIN, "one"), "one": ([], "two"), "two": (jpeg(), 0)},
            "a third folder, as phones with two previews write",
        ),
        ({"main": ([*MAIN, (SUB_FOLDERS, LONG, 1, "sub")], 0), "sub": (jpeg(), 0)}, "a folder below the first"),
        ({"main": ([*MAIN, (SUB_FOLDERS, FOLDER, 1, "sub")], 0), "sub": (jpeg(), 0)}, "named by its own kind"),
        (
            {"main": (MAIN, "one"), "one": ([(SUB_FOLDERS, LONG, 1, "sub")], 0), "sub": (jpeg(), 0)},
            "a folder below the second",
        ),
        (
            {"main": ([*MAIN, (SUB_FOLDERS, LONG, 1, "sub")], 0), "sub": ([], "next"), "next": (jpeg(), 0)},
            "a folder behind one below",
        ),
        (
            {"main": (MAIN, "one"), "one": ([(EXIF, LONG, 1, "its")], 0), "its": (NOTE, 0)},
            "a maker note of the thumbnail",
        ),
        ({"main": ([*MAIN, *jpeg()], 0)}, "in the first folder itself"),
        (
            {"main": ([*MAIN, (EXIF, LONG, 1, "exif")], 0), "exif": (NOTE, 0)},
            "in the maker note",
        ),
        ({"main": ([*MAIN, (0x8649, 1, 17, "picture")], 0)}, "among Photoshop's resources"),
        ({"main": ([*MAIN, (0x83BB, LONG, 4, "picture")], 0)}, "in IPTC, which may hold a preview"),
        ({"main": ([*MAIN, (0x935C, UNDEFINED, 17, "picture")], 0)}, "in Photoshop's layers"),
        ({"main": ([*MAIN, (0xEA1D, 9, 4, "picture")], 0)}, "in what moved a maker note"),
        ({"main": ([*MAIN, (0xBEEF, UNDEFINED, 17, "picture")], 0)}, "under a tag that nobody knows"),
        ({"main": (MAIN, 0)}, "in a place that nothing leads to"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) and len(value) > 1 else None,
)  # fmt: skip
def test_every_picture_in_exif_is_wiped(folders, why, order):
    before = exif(folders, {**KEPT, "picture": PICTURE}, order)
    assert PICTURE in before, "the test's EXIF has what must go"
    after = clean_exif(before)
    assert PICTURE not in after, why
    assert b"A maker" in after and len(after) == len(before)
    assert struct.unpack_from(order + "H", after, 18)[0] == 1, "upright"


JPEGS = b"\xff\xd8\xff\xe0"


@pytest.mark.parametrize(
    ("value", "kept", "why"),
    [
        (b"A day out", True, "a text"),
        ((b"A day " * 342)[:2048], True, "a long one"),
        ((b"A day " * 342)[:2049], False, "too long for what describes a photo"),
        (JPEGS + b"face", False, "JPEG"),
        (b"ASCII\0\0\0" + JPEGS, False, "JPEG behind something"),
        (b"\x89PNG\r\n\x1a\nface", False, "PNG"),
        (b"II*\0\x08\0\0\0face", False, "TIFF"),
        (b"MM\0*\0\0\0\x08face", False, "TIFF in the other order"),
        (b"RIFF\x99\0\0\0WEBPVP8 ", False, "WebP"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", False, "AVIF"),
        (b"GIF89aface", False, "GIF"),
        (b"/9j/4AAQSkZJRgABAQ", False, "JPEG in base64"),
        (b"iVBORw0KGgoAAAANSUhEUg", False, "PNG in base64"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else None,
)
@pytest.mark.parametrize("tag", [0x010E, 0x9286], ids=["description", "comment"])
def test_which_values_of_known_tags_are_kept(tag, value, kept, why):
    folders = {
        "main": ([*MAIN, (EXIF, LONG, 1, "exif")], 0),
        "exif": ([(tag, UNDEFINED, len(value), "value")], 0),
    }
    before = exif(folders, {**KEPT, "value": value})
    after = clean_exif(before)
    assert (value in after) is kept, why
    assert b"A maker" in after and len(after) == len(before)


def test_what_describes_a_photo_is_kept_and_can_be_read():
    """As another program sees it: times, place, camera, in all folders."""
    photo, out = Image.new("RGB", (64, 48)), io.BytesIO()
    given = photo.getexif()
    given[MAKER], given[0x0132], given[ORIENTATION], given[0x83BB] = (
        "A maker",
        "2024:05:06 07:08:09",
        6,
        b"IPTC",
    )
    given.get_ifd(EXIF).update(
        {
            0x829A: TiffImagePlugin.IFDRational(1, 250),
            0x9003: "2024:05:06 07:08:09",
            0xA434: "A lens",
            MAKER_NOTE: b"x" * 99,
        }
    )
    given.get_ifd(GPS).update({1: "N", 2: (48.0, 8.0, 6.0), 29: "2024:05:06"})
    photo.save(out, "JPEG", exif=given)
    kept = kept_metadata(out.getvalue(), everything=True)
    after = Image.Exif()
    after.load(b"Exif\0\0" + next(block for block in kept.values() if block[:4] in (b"II*\0", b"MM\0*")))
    assert {tag: after[tag] for tag in (MAKER, 0x0132, ORIENTATION)} == {
        MAKER: "A maker",
        0x0132: "2024:05:06 07:08:09",
        ORIENTATION: 1,
    }
    assert 0x83BB not in after
    lens, place = after.get_ifd(EXIF), after.get_ifd(GPS)
    assert (lens[0x9003], lens[0xA434], float(lens[0x829A])) == ("2024:05:06 07:08:09", "A lens", 1 / 250)
    assert MAKER_NOTE not in lens
    assert place[1] == "N" and [float(v) for v in place[2]] == [48, 8, 6] and place[29] == "2024:05:06"


def test_several_strips_and_several_folders_below():
    folders = {
        "main": ([*MAIN, (SUB_FOLDERS, LONG, 2, "subs")], 0),
        "a": ([(STRIPS, LONG, 2, "strips"), (STRIP_LENGTHS, LONG, 2, "lengths")], 0),
        "b": (jpeg("third"), 0),
    }
    lists = {"subs": ("a", "b"), "strips": ("first", "second"), "lengths": (len(PICTURE), len(PICTURE))}
    pictures = {"first": PICTURE, "second": PICTURE, "third": PICTURE}
    after = clean_exif(exif(folders, {**KEPT, **lists, **pictures}))
    assert b"A maker" in after and PICTURE not in after


def chain(first):
    """A hundred folders, each of which leads to the next."""
    links = {str(i): (jpeg(), str(i + 1)) for i in range(99)}
    return {"main": (MAIN, first), **links, "99": ([], 0)}


@pytest.mark.parametrize(
    ("folders", "kept", "why"),
    [
        ({"main": (MAIN, "main")}, True, "the first is its own next: it stays"),
        ({"main": (MAIN, "one"), "one": (jpeg(), "main")}, True, "the second leads back"),
        ({"main": (MAIN, "one"), "one": (jpeg(), "two"), "two": ([], "one")}, True, "two in a ring"),
        (
            {"main": ([*MAIN, (SUB_FOLDERS, LONG, 1, "sub")], 0), "sub": ([(SUB_FOLDERS, LONG, 1, "sub"), *jpeg()], 0)},
            True,
            "one below itself",
        ),
        (
            {
                "main": ([(GPS, LONG, 1, "gps")], "one"),
                "one": ([(GPS, LONG, 1, "gps"), *jpeg()], 0),
                "gps": (MAIN, 0),
            },
            True,
            "a folder that a kept one names is kept",
        ),
        ({"main": (MAIN, 60000)}, True, "the next, which is not followed, lies nowhere"),
        ({"main": ([*MAIN, (EXIF, LONG, 1, 60000)], 0)}, False, "one that would be kept lies nowhere"),
        ({"main": ([*MAIN, (0x010E, 2, 99, 60000)], 0)}, True, "a value lies nowhere: it alone is dropped"),
        (chain("95"), True, "some folders more"),
        (chain("0"), True, "more folders than any camera writes"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else None,
)  # fmt: skip
def test_rings_end_and_what_is_not_well_formed_is_dropped(folders, kept, why):
    after = clean_exif(exif(folders, {**KEPT, "picture": PICTURE}))
    assert (b"A maker" in after) is kept, why
    assert PICTURE not in after or len(folders) == 1, why


@pytest.mark.parametrize(
    ("xmp", "holds", "why"),
    [
        (b"<x:xmpmeta><dc:title>A face</dc:title></x:xmpmeta>", False, "a title"),
        (b"<xmpGImg:image>/9j/4AAQ", True, "Adobe's thumbnail"),
        (b"<xapGImg:image>/9j/4AAQ", True, "the same of older programs"),
        (b'xmlns:t="http://ns.adobe.com/xap/1.0/g/img/"', True, "the same by another prefix"),
        (b'GImage:Mime="image/jpeg" GImage:Data="/9j/', True, "Google's picture beside the picture"),
        (b'xmlns:i="http://ns.google.com/photos/1.0/image/" gimage:data=""', True, "in whatever case"),
        (b'GDepth:Data="/9j/', True, "the shape of a face, as a depth map"),
        ("<xmpGImg:image>".encode("utf-16"), True, "two bytes a letter"),
        (b"<my:preview>/9j/4AAQSkZJRg</my:preview>", True, "a JPEG by a name that nobody knows"),
        (b'my:face="iVBORw0KGgoAAAANSUhEUg"', True, "a PNG"),
        (b"<my:a>R0lGODlhAQABAIAAAA</my:a>", True, "a GIF"),
        (b"<my:a>SUkqAAgAAAAP</my:a>", True, "a TIFF"),
        (b"<my:a>UklGRiQAAABXRUJQVlA4</my:a>", True, "a WebP"),
        (b"<my:a>AAAAIGZ0eXBhdmlm</my:a>", True, "an AVIF"),
        (b"<my:a>/9\nj/4A&#xA;AQ</my:a>", True, "broken into lines"),
        ("<my:a>/9j/4AAQ</my:a>".encode("utf-16-be"), True, "two bytes a letter, by an unknown name"),
        (b"<my:a>" + b"Zm9vYmFy&#10;\n" * 200 + b"</my:a>", True, "something in base64, whatever it is"),
        (b"<dc:description>" + b"A long text, of words. " * 200 + b"</dc:description>", False, "a long text"),
        (b"<x/>" + b" " * 4000 + b"<?xpacket end='w'?>", False, "the room that writers leave"),
        (b"<a:b>1a2b3c4d5e6f7a8b9c0d</a:b>" * 90, False, "many short numbers"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else None,
)  # fmt: skip
def test_which_xmp_holds_a_picture(xmp, holds, why):
    assert holds_picture(xmp) is holds, why


@pytest.mark.parametrize(("xmp", "stays"), [(b"<a>A title</a>", True), (b"<xapGImg:image>/9j/</a>", False)])
def test_kept_xmp_has_none(xmp, stays):
    out = io.BytesIO()
    Image.new("RGB", (64, 48)).save(out, "JPEG", xmp=xmp)
    assert xmp in out.getvalue(), "the test's photo has it"
    kept = kept_metadata(out.getvalue(), everything=True)
    assert any(xmp in block for block in kept.values()) is stays
