"""What a picture file says before it is decoded, where OpenCV does not tell: size, whole or cut, turned or not."""

from __future__ import annotations

import re

_JPEG = b"\xff\xd8"
_PNG = b"\x89PNG\r\n\x1a\n"
# The next JPEG marker: neither a stuffed zero, a fill byte, a restart, nor another start of image.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)
_JPEG_END = 0xD9
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


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
    """Width and height that a JPEG, PNG, GIF or BMP declares; None for other formats or a broken header."""
    if data.startswith(_JPEG):
        return _walk_jpeg(data)[0]
    if data.startswith(_PNG) and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data.startswith(b"GIF8") and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if data.startswith(b"BM") and len(data) >= 26:
        sides = (int.from_bytes(data[i : i + 4], "little", signed=True) for i in (18, 22))
        width, height = (abs(side) for side in sides)
        return width, height
    return None


def avif_turn(data: bytes) -> tuple[int, int | None]:
    """How an AVIF wants to be shown: quarter turns counter-clockwise, then the mirrored axis (0 rows, 1 columns).

    The item properties `irot` and `imir` (ISO/IEC 23008-12, 6.5.10 and 6.5.12), which AVIF has in place of
    EXIF orientation; (0, None) for every other file.
    """
    if data[4:12] not in (b"ftypavif", b"ftypavis"):
        return 0, None
    header = data[: data.find(b"mdat") if b"mdat" in data else None]
    turns, axis = (_one_byte_property(header, name) for name in (b"irot", b"imir"))
    return (turns or 0) & 3, None if axis is None else axis & 1


def _one_byte_property(header: bytes, name: bytes) -> int | None:
    start = header.find(b"\0\0\0\x09" + name)
    return header[start + 8] if 0 <= start < len(header) - 8 else None


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
