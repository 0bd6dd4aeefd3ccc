"""EXIF and XMP that are kept hold no picture: folders of tags made by hand, as cameras and programs write them."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image

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
        ({"main": (MAIN, 60000)}, False, "leads nowhere"),
        (chain("95"), True, "some folders more"),
        (chain("0"), False, "more folders than any camera writes"),
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
