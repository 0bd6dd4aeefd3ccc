"""Frames per second, where a file does not say."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

import av

STILLS = Fraction(25)
"""Of pictures that say nothing of time."""
_PACKETS = 250
# What browsers record, WebM without a rate, FFmpeg takes for a picture at each tick of its clock, a thousand a second.
_FASTEST = 240


def frame_rate(name: str, stream: Any, live: bool) -> Fraction:
    """The rate that a stream of pictures states, or FFmpeg's guess, when it is one that is usual; else that of its
    first pictures' time stamps, which of a camera or another live source cannot be looked at beforehand."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and rate <= _FASTEST:
            return Fraction(rate)
    return (None if live else _of_stamps(name, stream.index)) or STILLS


def _of_stamps(name: str, index: int) -> Fraction | None:
    """The average over the first packets, read once more for themselves; None when they have no time."""
    try:
        with av.open(name) as container:
            stream = container.streams[index]
            packets = islice(container.demux(stream), _PACKETS)
            stamps = sorted(packet.pts for packet in packets if packet.pts is not None)
            seconds = (stamps[-1] - stamps[0]) * Fraction(stream.time_base or 0) if stamps else Fraction(0)
    except (av.error.FFmpegError, OSError):
        return None  # whatever is wrong is found, and named, when the frames are read
    return ((len(stamps) - 1) / seconds).limit_denominator(1001) if seconds > 0 else None
