"""The source's sound in the file that is written: copied where its format can hold it, else encoded again."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import av

_ENCODERS = {".webm": ("libopus", 48_000)}
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
# These have no time before 0, where an MP4 puts what a decoder of AAC swallows: all that comes later would move.
_FROM_ZERO = frozenset({".mkv", ".ts", ".m2ts", ".mts"})
# Tried in this order for a video whose own format is not written; the first is the one that most programs play.
_FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".mov": "mov"}


class Sound:
    """One audio stream of the source on its way into `container`, an open output of PyAV's for a file of `suffix`."""

    def __init__(self, container: Any, source: Any, suffix: str) -> None:
        if source.codec_context is None:
            raise ValueError("the source has a sound track of an unknown kind")
        self._container, self._source, self._encoded = container, source, False
        name = source.codec_context.name
        self._drop_early = suffix in _FROM_ZERO and "opus" not in name  # which says how much is swallowed
        try:
            self.stream = container.add_stream_from_template(source)
        except ValueError:  # this container cannot hold this codec, as PyAV says before anything is written
            codec, rate = _ENCODERS.get(suffix, ("aac", _nearest(source.codec_context.sample_rate)))
            self.stream = container.add_stream(codec, rate=rate, layout=_layout(source))
            self._encoded = True
        else:
            if _is_unsaid(source.codec_context.layout):
                self.stream.codec_context.layout = _layout(source)  # MP4 holds no sound without

    def write(self, packet: Any) -> None:
        """Take one of the source's packets."""
        if not self._encoded:
            packet.stream = self.stream
            self._mux([packet])
            return
        self._encode(packet.decode)

    def finish(self) -> None:
        """Write what the codecs still hold."""
        if self._encoded:
            self._encode(lambda: self._source.decode(None))
            self._mux(self.stream.encode(None))

    def _encode(self, decode: Callable[[], Sequence[Any]]) -> None:
        # A damaged packet is a gap, as in a player; only what fails in writing ends the video.
        frames: Sequence[Any] = ()
        with suppress(av.error.FFmpegError):
            frames = decode()
        for frame in frames:
            self._mux(self.stream.encode(frame))

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            if not (self._drop_early and packet.pts is not None and packet.pts < 0):
                self._container.mux(packet)


def suffix_for_sound(path: Path) -> str:
    """The suffix, .mp4, .mkv or .mov, of a file that can hold the sound of the video in `path` as it is.

    .mp4 where it has none, none of them can, or the video cannot be read, which is said when it is.
    """
    with suppress(av.error.FFmpegError, OSError, ValueError), av.open(str(path)) as source:
        for suffix, kind in _FORMATS.items():
            if _holds(kind, source.streams.audio):
                return suffix
    return ".mp4"


def _holds(kind: str, streams: Sequence[Any]) -> bool:
    container = av.open(io.BytesIO(), "w", format=kind)
    try:
        for stream in streams:
            container.add_stream_from_template(stream)
        if streams:
            container.start_encoding()
    except (av.error.FFmpegError, OSError, ValueError):
        return False
    finally:
        with suppress(av.error.FFmpegError, OSError, ValueError):
            container.close()
    return True


def _layout(source: Any) -> str:
    """Where the channels are heard; as usual for so many where the file, such as an AVI, does not say."""
    layout = source.codec_context.layout
    usual = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    return usual.get(layout.nb_channels, "stereo") if _is_unsaid(layout) else str(layout.name)


def _is_unsaid(layout: Any) -> bool:
    return "channel" in layout.name  # FFmpeg's name for such a one is "2 channels"


def _nearest(rate: int) -> int:
    return min(_AAC_RATES, key=lambda known: abs(known - rate))
