"""What travels in a photo beside its pixels, and how little of it a result keeps."""

from __future__ import annotations

import re
import struct

import cv2
import numpy as np

from featherface.errors import ConfigError, ImageError
from featherface.image_headers import declared_size
from featherface.images import Image, encode_image

_ORIENTATION = 0x0112
# What the first folder names and is kept: EXIF, GPS, interoperability.
_FOLDERS = frozenset({0x8769, 0x8825, 0xA005})
_MOST_FOLDERS = 50
# The tags that are kept: of GPS and interoperability, of TIFF, Windows and EXIF those that describe the photo. Whatever
# else there is may hold a picture: thumbnails, maker notes, IPTC, Photoshop's and programs' own data, padding.
_GPS_AND_INTEROPERABILITY = {*range(0x20), 0x1000, 0x1001, 0x1002}
_DESCRIPTION = {
    *(0x010D, 0x010E, 0x010F, 0x0110, 0x0112, 0x011A, 0x011B, 0x011D, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C),
    *(0x013E, 0x013F, 0x0211, 0x0213, 0x0214, 0x4746, 0x4749, 0x8298),
    *(0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F),
}
_EXIF = {
    *(0x829A, 0x829D, 0x8822, 0x8824, 0x8827, 0x8828, *range(0x8830, 0x8836)),
    *(0x9000, 0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9101, 0x9102, *range(0x9201, 0x920B), 0x9214, 0x9286),
    *(0x9290, 0x9291, 0x9292, *range(0x9400, 0x9406), 0xA000, 0xA001, 0xA002, 0xA003, 0xA004, 0xA20B, 0xA20E),
    *(0xA20F, 0xA210, 0xA214, 0xA215, 0xA217, 0xA300, 0xA301, 0xA302, *range(0xA401, 0xA40D), 0xA420),
    *(*range(0xA430, 0xA43D), 0xA460, 0xA461, 0xA500),
}
_KEPT = _FOLDERS | _GPS_AND_INTEROPERABILITY | _DESCRIPTION | _EXIF
_MOST_BYTES = 2048
_SHORT = 3
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
# How JPEG, PNG, GIF, TIFF, WebP, AVIF and HEIF, JPEG XL begin, or are known near their beginning.
_SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8[79]a|II\*\0|MM\0\*|RIFF.{4}WEBP|ftyp(?:avi|hei|hev|mif|msf|jxl)|JXL ",
    re.DOTALL,
)
# Adobe's thumbnails by their namespace and its prefixes (xapGImg, later xmpGImg), Google's pictures and depth maps.
_XMP_PICTURES = (b"ns.adobe.com/xap/1.0/g/img/", b"gimg:", b"gimage", b"gdepth")
# The same beginnings in base64, and anything else that goes on for so long without a stop: a text does not.
_BASE64_PICTURE = re.compile(
    rb"/9j/|iVBORw0KGgo|R0lGOD[dl]|SUkqA|TU0AK|UklGR|AAAA[A-Za-z0-9+/]{2}Z0eX|[A-Za-z0-9+/=_-]{1024}"
)
_BREAK = re.compile(rb"[ \t\r\n\0]|&#x?[0-9A-Fa-f]+;")
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
    """Whether XMP has a thumbnail or another picture: by the names that Adobe and Google gave theirs, or as what
    pictures look like in base64, under whatever name."""
    text = _BREAK.sub(b"", xmp)  # lines of base64 become one, and UTF-16 is read, too
    return any(name in text.lower() for name in _XMP_PICTURES) or _BASE64_PICTURE.search(text) is not None


def clean_exif(exif: bytes) -> bytes:
    """EXIF that says upright and holds only what describes the photo; nothing when it is not well-formed.

    Kept are the folders of EXIF, GPS and interoperability (Exif 2.32, 4.5 to 4.6; TIFF 6.0, section 2), and of them the
    tags that are known to hold no picture, up to 2,048 bytes each. All other bytes become zeros, whether anything
    leads to them or not: further folders, maker notes, and what programs hide between. Offsets stay as they are.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return b""
    try:
        return _clean(exif, order)
    except (struct.error, KeyError, ValueError):
        return b""


def _clean(data: bytes, order: str) -> bytes:
    kept = [struct.unpack_from(order + "I", data, 4)[0]]
    result = bytearray(len(data))
    folders: list[tuple[int, list[bytes]]] = []
    for start in kept:  # which grows: the first names others
        entries = []
        for entry in _entries(data, order, start):
            value = _harmless(data, order, entry)
            if value is None:
                continue
            tag, offset, content = value
            entries.append(entry)
            if offset is not None:
                result[offset : offset + len(content)] = content
            elif tag in _FOLDERS and (named := struct.unpack(order + "I", content)[0]) not in kept:
                kept.append(named)
            elif tag == _ORIENTATION:
                entries[-1] = entry[:8] + struct.pack(order + "HH", 1, 0)
        folders.append((start, entries))
        if len(kept) > _MOST_FOLDERS:
            raise ValueError("more folders than any camera writes")
    # Last, so that no value writes over them. What comes next is not said: that would be the thumbnail's.
    for start, entries in folders:
        written = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
        result[start : start + len(written)] = written
    result[:8] = data[:8]
    return bytes(result)


def _entries(data: bytes, order: str, start: int) -> list[bytes]:
    """A folder's entries, of 12 bytes each; struct.error when it does not lie within the data."""
    count = struct.unpack_from(order + "H", data, start)[0]
    return [struct.unpack_from("12s", data, start + 2 + 12 * i)[0] for i in range(count)]


def _harmless(data: bytes, order: str, entry: bytes) -> tuple[int, int | None, bytes] | None:
    """An entry's tag, where its value lies (None: in the entry itself) and the value; None when it is not kept."""
    tag, kind, count, offset = struct.unpack(order + "HHII", entry)
    length = _SIZES.get(kind, _MOST_BYTES + 1) * count
    if tag not in _KEPT or length > _MOST_BYTES or (tag in _FOLDERS and length != 4):
        return None
    if tag == _ORIENTATION and (kind, count) != (_SHORT, 1):
        return None
    if length <= 4:
        return tag, None, entry[8:]
    value = data[offset : offset + length]
    if len(value) < length or _SIGNATURES.search(value) or _BASE64_PICTURE.search(value):
        return None
    return tag, offset, value


def _jpeg(picture: Image) -> bytes:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ImageError("cannot write this picture as '.jpg'")
    return bytes(encoded.tobytes())
