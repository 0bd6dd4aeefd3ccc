"""Frames into a video file that keeps the source's time stamps, rotation, colours and sound."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np

from featherface.atomic import atomic_path
from featherface.draw import draw_detections
from featherface.errors import ConfigError, VideoError
from featherface.images import Image
from featherface.video.read import VideoReader
from featherface.video.track import UNTRACKED, Tracked

_H264 = ("libx264", {"preset": "superfast", "crf": "20"})
_CODECS = {
    ".mp4": _H264,
    ".m4v": _H264,
    ".mov": _H264,
    ".mkv": _H264,
    ".avi": _H264,
    ".ts": _H264,
    ".webm": ("libvpx-vp9", {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1"}),
}
WRITABLE = frozenset(_CODECS)
"""Formats of the file that is written; it says by its suffix which one."""
_AHEAD = 4


class VideoWriter:
    """Takes frames and audio packets, encodes in a thread of its own; see `open_writer`."""

    def __init__(self, container: Any, reader: VideoReader, suffix: str) -> None:
        self._container, self._source = container, reader.source
        self._stream = self._video_stream(suffix)
        self._audio = {s.index: container.add_stream_from_template(s) for s in reader.audio}
        self._durations: dict[int, int] = {}
        self._line: queue.Queue[Any] = queue.Queue(_AHEAD + 60)
        self._slots = threading.Semaphore(_AHEAD)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="encode")
        self._thread.start()

    def write(self, image: Image, pts: int, duration: int = 0) -> None:
        """Queue an upright RGB frame; waits when the encoder is behind."""
        self._slots.acquire()
        self._put((image, pts, duration))

    def copy(self, packet: Any) -> None:
        """Queue a packet of one of the source's audio streams."""
        self._put(packet)

    def finish(self) -> None:
        """Waits until all is written; raises what went wrong on the way."""
        self._put(None)
        self._thread.join()
        self._raise_failure()

    def abandon(self) -> None:
        """Stops without caring for the rest."""
        self._failure = self._failure or RuntimeError("abandoned")
        while self._thread.is_alive():
            try:
                self._line.put(None, timeout=0.1)
            except queue.Full:
                self._line.get_nowait()
            self._thread.join(0.1)

    def _put(self, item: Any) -> None:
        self._raise_failure()
        self._line.put(item)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while True:
            item = self._line.get()
            try:
                if self._failure is None:
                    self._do(item)
            except BaseException as error:
                self._failure = error
            if isinstance(item, tuple):
                self._slots.release()
            if item is None:
                return

    def _do(self, item: Any) -> None:
        if isinstance(item, tuple):
            image, pts, duration = item
            self._durations[pts] = duration
            self._mux(self._stream.encode(self._frame(image, pts)))
        elif item is None:
            self._mux(self._stream.encode(None))
        else:
            item.stream = self._audio[item.stream.index]
            self._container.mux(item)

    def _frame(self, image: Image, pts: int) -> Any:
        stored = np.rot90(image, -self._source.rotation // 90) if self._source.rotation else image
        height, width = stored.shape[:2]
        if height % 2 or width % 2:  # 4:2:0 has no odd sides; the last row or column is doubled
            stored = np.pad(stored, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="rgb24")
        colour = self._source.colour
        frame = frame.reformat(
            format="yuv420p",
            dst_colorspace=colour.get("colorspace"),
            dst_color_range=colour.get("color_range"),
        )
        frame.pts, frame.time_base = pts, self._source.time_base
        return frame

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            duration = self._durations.pop(packet.pts, 0)
            if duration:
                packet.duration = duration
            self._container.mux(packet)

    def _video_stream(self, suffix: str) -> Any:
        source, (codec, options) = self._source, _CODECS[suffix]
        stream = self._container.add_stream(
            codec, rate=source.rate.limit_denominator(100_000), options=options
        )
        turned = source.rotation % 180 != 0
        width, height = (source.height, source.width) if turned else (source.width, source.height)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = source.time_base
        # No B-frames: decoding order is showing order, so that time stamps come out as they went in.
        stream.codec_context.max_b_frames = 0
        for key, value in source.colour.items():
            setattr(stream.codec_context, key, value)
        if source.aspect is not None:
            stream.codec_context.sample_aspect_ratio = source.aspect
        if source.rotation:
            stream.set_display_rotation(source.rotation)
        return stream


@contextmanager
def open_writer(
    target: str | os.PathLike[str], reader: VideoReader, *, keep_metadata: bool = True
) -> Iterator[VideoWriter]:
    """A writer for a video like the reader's; the file appears under its name when all of it is written.

    Raises ConfigError for a suffix that is not in WRITABLE, VideoError when it cannot be written or cannot
    hold the source's sound; then the partial file is gone.
    """
    path = Path(target)
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        raise ConfigError(f"{path}: videos are written as {', '.join(sorted(WRITABLE))}")
    try:
        with (
            atomic_path(path) as temporary,
            av.open(str(temporary), "w", options=_muxer(suffix)) as container,
        ):
            if keep_metadata:
                container.metadata.update(reader.source.metadata)
            writer = VideoWriter(container, reader, suffix)
            try:
                yield writer
                writer.finish()
            except BaseException:
                writer.abandon()
                raise
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise VideoError(f"{path}: cannot be written ({reason}); the partial file was removed") from error


def draw_tracked(image: Image, tracked: Tracked) -> Image:
    """A copy of the frame with boxes, landmarks and track ids."""
    labels = ["" if track == UNTRACKED else f"#{track}" for track in tracked.ids]
    return draw_detections(image, tracked.found, labels)


def _muxer(suffix: str) -> dict[str, str]:
    return {"movflags": "+faststart"} if suffix in (".mp4", ".m4v", ".mov") else {}
