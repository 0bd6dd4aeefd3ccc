"""What a picture file says before it is decoded, where OpenCV does not tell: size, whole or cut, turned or not."""

from __future__ import annotations

import re

_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n"
# The next JPEG marker: neither a stuffed zero, a fill byte, a restart, nor another start of image.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)
_JPEG_END = 0xD9
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TIFF = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
_TIFF_INTEGERS = {3: 2, 4: 4, 16: 8}
# ImageWidth and TileWidth, ImageLength and TileLength: a tile larger than the picture is unpacked whole, too.
_TIFF_WIDTHS, _TIFF_HEIGHTS = (256, 322), (257, 323)
# An image item's extent, and a track's (versions 0 and 1; there 16 bits stand behind the point).
_AVIF_EXTENT = re.compile(rb"ispe\x00.{3}(.{8})", re.DOTALL)
_AVIF_TRACK = re.compile(rb"tkhd(?:\x00.{75}|\x01.{87})(.{8})", re.DOTALL)


def is_truncated(data: bytes) -> bool:
    """Whether the end of a JPEG, PNG or WebP is missing; some decoders fill such a hole with grey and say nothing.

    A JPEG is walked marker by marker, because its thumbnail, and whatever cameras append (a second picture, a
    film), hold end markers of their own.
    """
    if data.startswith(_JPEG):
        return not _walk_jpeg(data)[1]
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    return data.startswith(_PNG) and b"IEND" not in data


def declared_size(data: bytes) -> tuple[int, int] | None:
    """Width and height that a JPEG, PNG, GIF, BMP, WebP, AVIF or TIFF declares.

    None for other formats or a broken header. Where a file declares several, the largest: nothing of it may unpack
    into more pixels than these.
    """
    if data.startswith(_JPEG):
        return _walk_jpeg(data)[0]
    if data.startswith(_PNG) and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data.startswith(b"GIF8") and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if data.startswith(b"BM") and len(data) >= 26:
        return _bmp_size(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_size(data)
    if _is_avif(data):
        return _avif_size(data)
    return _tiff_size(data) if data[:4] in _TIFF else None


def avif_turn(data: bytes) -> tuple[int, int | None]:
    """How an AVIF wants to be shown: quarter turns counter-clockwise, then the mirrored axis (0 rows, 1 columns).

    The item properties `irot` and `imir` (ISO/IEC 23008-12, 6.5.10 and 6.5.12), which AVIF has in place of
    EXIF orientation; (0, None) for every other file.
    """
    if not _is_avif(data):
        return 0, None
    header = data[: data.find(b"mdat") if b"mdat" in data else None]
    turns, axis = (_one_byte_property(header, name) for name in (b"irot", b"imir"))
    return (turns or 0) & 3, None if axis is None else axis & 1


def _is_avif(data: bytes) -> bool:
    """Whether the file calls itself an AVIF, a still or a moving one."""
    brands = data[8 : int.from_bytes(data[:4], "big")]
    return data[4:8] == b"ftyp" and (b"avif" in brands or b"avis" in brands)


def _one_byte_property(header: bytes, name: bytes) -> int | None:
    start = header.find(b"\0\0\0\x09" + name)
    return header[start + 8] if 0 <= start < len(header) - 8 else None


def _bmp_size(data: bytes) -> tuple[int, int]:
    # OS/2's first header counts in 16 bits.
    step = 2 if int.from_bytes(data[14:18], "little") == 12 else 4
    width, height = (int.from_bytes(data[i : i + step], "little", signed=step == 4) for i in (18, 18 + step))
    return abs(width), abs(height)


def _webp_size(data: bytes) -> tuple[int, int] | None:
    """By the first chunk (RFC 9649): the canvas, which no frame may exceed, or else the only frame."""
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and len(data) >= 25 and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(data) >= 30 and data[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _avif_size(data: bytes) -> tuple[int, int] | None:
    sizes = [
        (int.from_bytes(found[1][:4], "big") >> shift, int.from_bytes(found[1][4:], "big") >> shift)
        for pattern, shift in ((_AVIF_EXTENT, 0), (_AVIF_TRACK, 16))
        for found in pattern.finditer(data)
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    """By the first folder of a TIFF or a BigTIFF, whose counts and offsets are twice as wide."""
    big = 43 in data[2:4]

    def number(start: int, length: int) -> int:
        return int.from_bytes(data[start : start + length], "little" if data.startswith(b"II") else "big")

    start, wide, counted, entry = (number(8, 8), 8, 8, 20) if big else (number(4, 4), 4, 2, 12)
    width = height = 0
    for i in range(min(number(start, counted), len(data) // entry, 0xFFFF)):
        at = start + counted + i * entry
        value = number(at + 4 + wide, _TIFF_INTEGERS.get(number(at + 2, 2), 0))
        if number(at, 2) in _TIFF_WIDTHS:
            width = max(width, value)
        if number(at, 2) in _TIFF_HEIGHTS:
            height = max(height, value)
    return (width, height) if width and height else None


def _walk_jpeg(data: bytes) -> tuple[tuple[int, int] | None, bool]:
    """The size in a JPEG's frame header, and whether the walk over its segments meets the end marker."""
    size, position = None, 2
    while found := _JPEG_MARKER.search(data, position):
        marker, position = data[found.start() + 1], found.end()
        if marker == _JPEG_END:
            return size, True
        if marker in _JPEG_FRAMES and size is None and position + 7 <= len(data):
            height, width = (int.from_bytes(data[position + i : position + i + 2], "big") for i in (3, 5))
            size = width, height
        position += int.from_bytes(data[position : position + 2], "big")
    return size, False
