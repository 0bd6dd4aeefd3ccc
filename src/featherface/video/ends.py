"""Whether a video ends where it should: what each kind of file says of its own length, or shows by its structure.

No kind says everything. MPEG-TS, MPEG-PS, Ogg and fragmented MP4 do not say how long they are: one that was cut between
two of their parts looks whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from featherface.errors import VideoError, reason_of

if TYPE_CHECKING:
    from featherface.video.read import Source

_WITHIN_PACKET = "it ends within a packet"
_TAIL = 1 << 20
# ASF's header, its file properties and its data, by their names (ASF specification, 10).
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_BROADCAST = 1
_SEGMENT, _EBML_MOST = bytes.fromhex("18538067"), 1024


def check_end(
    source: Source, container: Any, stream: Any, packets: int, count: int, last: int | None
) -> None:
    """Raises VideoError when a video that was read to its end, of so many packets and frames, the last one's time
    stamp being `last`, should have had more."""
    kind = container.format.name
    if source.live and not source.name.startswith(("http:", "https:")):
        raise VideoError(f"{source.name}: went away after {count} frames")
    # AVI declares how long it shows, in frames, of which some may have been dropped: no packets are theirs.
    avi = kind == "avi"
    declared = _declared_packets(kind, stream)
    if packets < declared and not avi:
        raise VideoError(f"{source.name}: truncated, {packets} of {declared} frames are there")
    missing = None if source.live else what_is_missing(Path(source.name), kind, container)
    if missing is not None:
        raise VideoError(f"{source.name}: truncated, {missing}")
    stated = float(declared * source.time_base) if avi else _stated_seconds(stream)
    if stated and last is not None:
        # AVI says how long it shows; Matroska when its last picture ends, however late its first one begins.
        start = (stream.start_time or 0) if avi else min(stream.start_time or 0, 0)
        end = float((last - start) * source.time_base) + float(2 / source.rate)
        if end < stated - _tolerance(stated):
            raise VideoError(f"{source.name}: truncated, {end:.1f} of {stated:.1f} seconds are there")


def what_is_missing(path: Path, kind: str, container: Any) -> str | None:
    """What a file that FFmpeg calls `kind` lacks at its end, in words; None where nothing does or nobody can tell."""
    look = _LOOKS.get(kind)
    if look is None:
        return None
    try:
        with path.open("rb") as file:
            return look(file, file.seek(0, os.SEEK_END), container)
    except OSError as error:
        raise VideoError(f"{path}: {reason_of(error)}") from error


def _declared_packets(kind: str, stream: Any) -> int:
    """How many packets of pictures a file says it has; 0 when it does not."""
    # Of an MP4 that was trimmed the pictures before and after are there, but are not shown and not read.
    return len(stream.index_entries) if kind.startswith("mov,") else int(stream.frames or 0)


def _stated_seconds(stream: Any) -> float | None:
    """The duration that Matroska states for one stream, such as 00:00:04.160000000."""
    text = next((v for k, v in stream.metadata.items() if k.upper().startswith("DURATION")), None)
    try:
        hours, minutes, seconds = (text or "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _tolerance(seconds: float) -> float:
    return max(0.5, 0.02 * seconds)


def _transport_stream(file: BinaryIO, size: int, container: Any) -> str | None:
    """Packets of 188 bytes begin with 0x47; before them stand 4 bytes in M2TS, behind them 16 in some recordings."""
    file.seek(0)
    start = file.read(512)
    for length, first in ((188, 0), (192, 4), (204, 0)):
        if start[first::length] == b"\x47" * len(start[first::length]):
            return _WITHIN_PACKET if size % length else None
    return None


def _flash(file: BinaryIO, size: int, container: Any) -> str | None:
    """Tags of 11 bytes and what they hold, the length of each behind it (Adobe's FLV specification, E.3 to E.4).

    Compared is the time of the last tag, of sound or pictures, since the duration is that of both.
    """
    file.seek(0)
    at = int.from_bytes(file.read(9)[5:9], "big") + 4
    last = 0
    while at < size:
        file.seek(at)
        head = file.read(11)
        if head[0] & 0x1F not in (8, 9, 18):
            return None  # something else was appended, as some recorders do
        if len(head) < 11 or at + 11 + int.from_bytes(head[1:4], "big") > size:
            return _WITHIN_PACKET
        last = max(last, int.from_bytes(head[7:8] + head[4:7], "big"))
        at += 15 + int.from_bytes(head[1:4], "big")
    stated = (container.duration or 0) / 1_000_000
    if last / 1000 < stated - _tolerance(stated):
        return f"{last / 1000:.1f} of {stated:.1f} seconds are there"
    return None


def _windows_media(file: BinaryIO, size: int, container: Any) -> str | None:
    """The header says whether the file was broadcast, as which it says no length; the data says how long it is."""
    file.seek(0)
    start = file.read(30)
    length = int.from_bytes(start[16:24], "little")
    if start[:16] != _ASF_HEADER or not len(start) <= length <= _TAIL:
        return None
    header = start + file.read(length - 30)
    data = file.read(24)
    properties = header.find(_ASF_PROPERTIES)
    flags = header[properties + 88 : properties + 89]
    if data[:16] != _ASF_DATA or properties < 0 or not flags or flags[0] & _ASF_BROADCAST:
        return None
    there, stated = size - length, int.from_bytes(data[16:24], "little")
    return f"{there:,} of {stated:,} bytes are there" if there < stated else None


def _program_stream(file: BinaryIO, size: int, container: Any) -> str | None:
    """Packs of packets, each of which says how long it is (ISO/IEC 11172-1, 2.4.3; 13818-1, 2.5.3).

    Walked from the first pack of the last megabyte; a start code that is none, inside of sound, leads nowhere.
    """
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    at = tail.find(b"\0\0\1\xba")
    filled = len(tail.rstrip(b"\0"))
    while at >= 0:
        end, whole = _walked(tail, at, filled)
        if whole:
            return _WITHIN_PACKET if end > len(tail) else None
        at = tail.find(b"\0\0\1\xba", end)
    return None


def _walked(data: bytes, at: int, filled: int) -> tuple[int, bool]:
    """Where the last packet ends, which may be behind the data's end, and True; or where something else stands, and
    False. From `filled` on there are zeros only."""
    while at < len(data):
        code = data[at : at + 4]
        if code == b"\0\0\1\xb9" or at >= filled:
            return len(data), True
        if len(code) < 4:
            return at + 4, b"\0\0\1".startswith(code[:3])
        if code[:3] != b"\0\0\1" or code[3] < 0xBA:
            return at, False
        if code[3] == 0xBA:
            older = data[at + 4 : at + 5].hex().startswith("2")  # MPEG-1: 0010 where MPEG-2 has 01
            at += 12 if older else 14 + (data[at + 13] & 7 if at + 13 < len(data) else 0)
        else:
            at += 6 + int.from_bytes(data[at + 4 : at + 6], "big")
    return at, True


def _ogg(file: BinaryIO, size: int, container: Any) -> str | None:
    """Pages of 27 bytes, a table and what that counts (RFC 3533, 6); none is longer than 65,307 bytes."""
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    at = tail.rfind(b"OggS\0")
    if at < 0:
        return None
    table = tail[at + 27 : at + 27 + tail[at + 26]] if at + 26 < len(tail) else b""
    whole = at + 26 < len(tail) and len(table) == tail[at + 26]
    return None if whole and at + 27 + len(table) + sum(table) <= len(tail) else _WITHIN_PACKET


def _matroska(file: BinaryIO, size: int, container: Any) -> str | None:
    """A header, then all the rest in one element, whose length is unknown where it was streamed (RFC 8794, 4 to 6)."""
    file.seek(0)
    start = file.read(_EBML_MOST)
    header = _length(start, 4)
    if header is None:
        return None
    behind, length = header
    segment = _length(start, behind + length + 4)
    if start[behind + length :][:4] != _SEGMENT or segment is None:
        return None
    stated = sum(segment)
    return f"{size:,} of {stated:,} bytes are there" if size < stated else None


def _length(data: bytes, at: int) -> tuple[int, int] | None:
    """Where the length that stands at `at` ends, and what it says; None where it says that it is unknown."""
    width = 9 - data[at].bit_length() if at < len(data) else 9
    if width > 8 or at + width > len(data):
        return None
    most = (1 << 7 * width) - 1
    value = int.from_bytes(data[at : at + width], "big") & most
    return None if value == most else (at + width, value)


_LOOKS: dict[str, Callable[[BinaryIO, int, Any], str | None]] = {
    "mpegts": _transport_stream,
    "flv": _flash,
    "asf": _windows_media,
    "mpeg": _program_stream,
    "ogg": _ogg,
    "matroska,webm": _matroska,
}
