"""Whether a picture file holds more pictures than the first, which is all that is read of it."""

from __future__ import annotations

_TIFF = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
_WEBP_ANIMATION = 0x02
_GIF_EXTENSION, _GIF_PICTURE = 0x21, 0x2C


def has_more_frames(data: bytes) -> bool:
    """Whether a GIF, PNG, WebP or AVIF moves, or a TIFF has further pages; False for all others, and broken ones.

    From what the file declares: nothing is decoded.
    """
    if data.startswith(b"GIF8"):
        return _gif_pictures(data) > 1
    if data.startswith(b"\x89PNG"):
        return b"acTL" in data[: data.find(b"IDAT")]
    if data.startswith(b"RIFF") and data[8:16] == b"WEBPVP8X":
        return bool(data[20:21] and data[20] & _WEBP_ANIMATION)
    if data[4:8] == b"ftyp":
        return b"avis" in data[8 : int.from_bytes(data[:4], "big")]
    return _has_second_page(data)


def _gif_pictures(data: bytes) -> int:
    """How many, but no more than two (GIF89a, 18 to 24)."""
    if len(data) < 13:
        return 0
    at, count = 13 + _colours(data[10]), 0
    while at + 10 < len(data) and count < 2:
        if data[at] == _GIF_PICTURE:
            count += 1
            at += 11 + _colours(data[at + 9])
        elif data[at] == _GIF_EXTENSION:
            at += 2
        else:
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return count


def _colours(packed: int) -> int:
    """The length of the table of colours that a GIF's packed byte announces."""
    return 3 << (packed & 7) + 1 if packed & 0x80 else 0


def _has_second_page(data: bytes) -> bool:
    """By where the first folder of a TIFF or BigTIFF says that the next lies."""
    if data[:4] not in _TIFF:
        return False

    def number(start: int, length: int) -> int:
        return int.from_bytes(data[start : start + length], "little" if data.startswith(b"II") else "big")

    big = 43 in data[2:4]
    start, counted, entry, wide = (number(8, 8), 8, 20, 8) if big else (number(4, 4), 2, 12, 4)
    return number(start + counted + entry * number(start, counted), wide) != 0
