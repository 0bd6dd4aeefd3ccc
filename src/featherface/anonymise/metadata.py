"""What travels in a photo beside its pixels, and how little of it a result keeps."""

from __future__ import annotations

import struct

import cv2
import numpy as np

from featherface.errors import ConfigError, ImageError
from featherface.image_headers import declared_size
from featherface.images import Image, encode_image

_ORIENTATION = 0x0112
_EXIF_FOLDER = 0x8769
_MAKER_NOTE = 0x927C
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
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
    if b"xmpGImg" in kept.get(cv2.IMAGE_METADATA_XMP, b""):  # XMP's own thumbnails
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


def clean_exif(exif: bytes) -> bytes:
    """EXIF that says upright and holds no thumbnail and no maker note; nothing when it is not well-formed.

    The thumbnail is a second folder of tags (IFD1) and the picture after it; a maker note may hold a preview.
    Both are overwritten with zeros, so that offsets stay as they are (Exif 2.32, 4.5 to 4.6).
    """
    data = bytearray(exif)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(data[:4]))
    if order is None:
        return b""
    try:
        first = struct.unpack_from(order + "I", data, 4)[0]
        main, after = _folder(data, order, first)
        second = struct.unpack_from(order + "I", data, after)[0]
        struct.pack_into(order + "I", data, after, 0)
        if _ORIENTATION in main:
            struct.pack_into(order + "H", data, main[_ORIENTATION] + 8, 1)
        if _EXIF_FOLDER in main:
            camera, _ = _folder(data, order, struct.unpack_from(order + "I", data, main[_EXIF_FOLDER] + 8)[0])
            if _MAKER_NOTE in camera:
                _wipe_value(data, order, camera[_MAKER_NOTE])
        if second:
            _wipe_folder(data, order, second)
    except (struct.error, KeyError, IndexError):
        return b""
    return bytes(data)


def _folder(data: bytearray, order: str, start: int) -> tuple[dict[int, int], int]:
    """Where each tag's entry lies, and where the offset of the next folder stands."""
    count = struct.unpack_from(order + "H", data, start)[0]
    entries = [start + 2 + 12 * i for i in range(count)]
    return {
        struct.unpack_from(order + "H", data, entry)[0]: entry for entry in entries
    }, start + 2 + 12 * count


def _wipe_folder(data: bytearray, order: str, start: int) -> None:
    tags, end = _folder(data, order, start)
    if 0x0201 in tags and 0x0202 in tags:  # where the thumbnail's JPEG lies, and its length
        offset, length = (struct.unpack_from(order + "I", data, tags[tag] + 8)[0] for tag in (0x0201, 0x0202))
        _wipe(data, offset, length)
    if 0x0111 in tags and 0x0117 in tags:  # the same for an uncompressed one
        offset, length = (struct.unpack_from(order + "I", data, tags[tag] + 8)[0] for tag in (0x0111, 0x0117))
        _wipe(data, offset, length)
    for entry in tags.values():
        _wipe_value(data, order, entry)
    _wipe(data, start, end + 4 - start)


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
