"""What travels in a photo beside its pixels, and how little of it a result keeps."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from featherface.errors import ConfigError, ImageError
from featherface.image_headers import declared_size
from featherface.images import Image, encode_image

_ORIENTATION = 0x0112
# What the first folder names and is kept: EXIF, GPS, interoperability.
_FOLDERS = frozenset({0x8769, 0x8825, 0xA005})
_SUB_FOLDERS = 0x014A
# Where a picture lies and how long it is: a JPEG, strips, tiles.
_PICTURES = ((0x0201, 0x0202), (0x0111, 0x0117), (0x0144, 0x0145))
# Maker note, Photoshop's resources, XMP, DNG's private data.
_MAY_HOLD_PICTURES = frozenset({0x927C, 0x8649, 0x02BC, 0xC634})
_MOST_FOLDERS = 50
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
# Adobe's thumbnails by their namespace and its prefixes (xapGImg, later xmpGImg), Google's pictures and depth maps.
_XMP_PICTURES = (b"ns.adobe.com/xap/1.0/g/img/", b"gimg:", b"gimage", b"gdepth")
_JPEG_QUALITY = 95
# Formats whose encoder in OpenCV takes metadata.
_CARRIES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif"})

_EIGHTH_IS_SOME = 16

Metadata = dict[int, bytes]
"""OpenCV's metadata types (IMAGE_METADATA_...) and their content."""


def kept_metadata(data: bytes, *, everything: bool) -> Metadata:
    """The colour profile of a photo and, for `everything`, its EXIF and XMP, cleaned of pictures.

    ConfigError when `everything` is asked of an OpenCV that cannot read metadata (before 4.12).
    """
    if not hasattr(cv2, "imdecodeWithMetadata"):
        if everything:
            raise ConfigError(f"metadata can be kept with OpenCV 4.12 or newer; this is {cv2.__version__}")
        return {}
    wanted = {cv2.IMAGE_METADATA_ICCP}
    if everything:
        wanted |= {cv2.IMAGE_METADATA_EXIF, cv2.IMAGE_METADATA_XMP}
    # The pixels are not looked at; but an eighth of a picture of a few pixels would be none.
    small = min(declared_size(data) or (0,)) < _EIGHTH_IS_SOME
    how = cv2.IMREAD_COLOR if small else cv2.IMREAD_REDUCED_COLOR_8
    _, kinds, blocks = cv2.imdecodeWithMetadata(np.frombuffer(data, np.uint8), how)
    found = {
        int(kind): np.asarray(block, np.uint8).tobytes() for kind, block in zip(kinds, blocks, strict=True)
    }
    kept = {kind: block for kind, block in found.items() if kind in wanted and block}
    if cv2.IMAGE_METADATA_EXIF in kept:
        kept[cv2.IMAGE_METADATA_EXIF] = clean_exif(kept[cv2.IMAGE_METADATA_EXIF])
    if holds_picture(kept.get(cv2.IMAGE_METADATA_XMP, b"")):
        del kept[cv2.IMAGE_METADATA_XMP]
    return {kind: block for kind, block in kept.items() if block}


def encode_with(picture: Image, suffix: str, metadata: Metadata) -> bytes:
    """The file content of an RGB picture; ImageError when there is no such format."""
    if not metadata or suffix not in _CARRIES:
        return encode_image(picture, suffix) if suffix not in (".jpg", ".jpeg") else _jpeg(picture)
    blocks = [np.frombuffer(block, np.uint8) for block in metadata.values()]
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if suffix in (".jpg", ".jpeg") else []
    try:
        done, encoded = cv2.imencodeWithMetadata(suffix, bgr, list(metadata), blocks, options)
    except cv2.error as error:
        raise ImageError(f"cannot write this picture and its metadata as {suffix!r}") from error
    if not done:
        raise ImageError(f"cannot write this picture and its metadata as {suffix!r}")
    return bytes(encoded.tobytes())


def holds_picture(xmp: bytes) -> bool:
    """Whether XMP has a thumbnail or a picture of its own, by the names that Adobe and Google gave them."""
    text = xmp.replace(b"\0", b"").lower()  # so that UTF-16 is read, too
    return any(name in text for name in _XMP_PICTURES)


def clean_exif(exif: bytes) -> bytes:
    """EXIF that says upright and holds no thumbnail and no maker note; nothing when it is not well-formed.

    Thumbnails are further folders of tags, behind the first (IFD1 and on) or below it (SubIFDs), and the pictures
    after them; a maker note may hold a preview. All are overwritten with zeros, so that offsets stay as they are
    (Exif 2.32, 4.5 to 4.6; TIFF 6.0, section 2; its supplement 1 for SubIFDs).
    """
    data = bytearray(exif)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        return b""
    try:
        _clean(data, order)
    except (struct.error, KeyError, ValueError):
        return b""
    return bytes(data)


def _clean(data: bytearray, order: str) -> None:
    kept = [struct.unpack_from(order + "I", data, 4)[0]]
    unwanted: list[int] = []
    entries: list[tuple[int, int]] = []
    for start in kept:  # which grows: the first names others
        found, link = _folder(data, order, start)
        entries += found
        if start == kept[0]:
            unwanted += struct.unpack_from(order + "I", data, link)
            struct.pack_into(order + "I", data, link, 0)
        named = [n for tag, entry in found if tag in _FOLDERS for n in _numbers(data, order, entry)]
        kept += [n for n in dict.fromkeys(named) if n not in kept]
        unwanted += [n for tag, entry in found if tag == _SUB_FOLDERS for n in _numbers(data, order, entry)]
        if len(kept) > _MOST_FOLDERS:
            raise ValueError("more folders than any camera writes")
    for tag, entry in entries:
        if tag == _ORIENTATION:
            struct.pack_into(order + "H", data, entry + 8, 1)
    # All are read before the first is wiped, since wiping might reach into another.
    folders = _behind(data, order, unwanted, set(kept))
    _wipe_pictures(data, order, entries)
    for tag, entry in entries:
        if tag in _MAY_HOLD_PICTURES:
            _wipe_value(data, order, entry)
    for start, found, link in folders:
        _wipe_pictures(data, order, found)
        for _, entry in found:
            _wipe_value(data, order, entry)
        _wipe(data, start, link + 4 - start)


def _behind(
    data: bytearray, order: str, starts: list[int], seen: set[int]
) -> list[tuple[int, list[tuple[int, int]], int]]:
    """The folders at `starts` and all that they lead to, but for those in `seen`: links may run in a ring."""
    folders = []
    waiting = list(starts)
    while waiting:
        start = waiting.pop()
        if start == 0 or start in seen:
            continue
        seen.add(start)
        found, link = _folder(data, order, start)
        folders.append((start, found, link))
        if len(folders) > _MOST_FOLDERS:
            raise ValueError("more folders than any camera writes")
        waiting += struct.unpack_from(order + "I", data, link)
        for tag, entry in found:
            if tag == _SUB_FOLDERS or tag in _FOLDERS:
                waiting += _numbers(data, order, entry)
    return folders


def _folder(data: bytearray, order: str, start: int) -> tuple[list[tuple[int, int]], int]:
    """Each tag and where its entry lies, and where the offset of the next folder stands."""
    count = struct.unpack_from(order + "H", data, start)[0]
    entries = [start + 2 + 12 * i for i in range(count)]
    return [
        (struct.unpack_from(order + "H", data, entry)[0], entry) for entry in entries
    ], start + 2 + 12 * count


def _numbers(data: bytearray, order: str, entry: int) -> tuple[int, ...]:
    """What a tag of whole numbers says."""
    kind, count = struct.unpack_from(order + "HI", data, entry + 2)
    letter = {3: "H", 4: "I", 13: "I"}[kind]
    at = entry + 8
    if _SIZES[kind] * count > 4:
        at = struct.unpack_from(order + "I", data, at)[0]
    return struct.unpack_from(f"{order}{count}{letter}", data, at)


def _wipe_pictures(data: bytearray, order: str, entries: list[tuple[int, int]]) -> None:
    tags = dict(entries)
    for offsets, lengths in _PICTURES:
        if offsets in tags and lengths in tags:
            # Some folders have one of several offsets alone.
            pairs = zip(
                _numbers(data, order, tags[offsets]), _numbers(data, order, tags[lengths]), strict=False
            )
            for offset, length in pairs:
                _wipe(data, offset, length)


def _wipe_value(data: bytearray, order: str, entry: int) -> None:
    kind, count, value = struct.unpack_from(order + "HII", data, entry + 2)
    length = _SIZES[kind] * count
    if length > 4:
        _wipe(data, value, length)


def _wipe(data: bytearray, start: int, length: int) -> None:
    end = min(start + length, len(data))
    data[start:end] = bytes(max(0, end - start))


def _jpeg(picture: Image) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ImageError("cannot write this picture as '.jpg'")
    return bytes(encoded.tobytes())
