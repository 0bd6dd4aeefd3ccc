"""Frames into a video file that keeps the source's time stamps, rotation, colours and sound."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from featherface.atomic import atomic_path
from featherface.draw import draw_detections, drawn_regions
from featherface.errors import ConfigError, VideoError, reason_of
from featherface.images import Image
from featherface.video.planes import patched
from featherface.video.read import Frame, VideoReader
from featherface.video.sound import Sound
from featherface.video.track import UNTRACKED, Tracked

_H264 = ("libx264", {"preset": "superfast", "crf": "20"})
_CODECS = {
    ".mp4": _H264,
    ".m4v": _H264,
    ".mov": _H264,
    ".mkv": _H264,
    ".ts": _H264,
    ".m2ts": _H264,
    ".mts": _H264,
    ".webm": ("libvpx-vp9", {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1"}),
}
WRITABLE = frozenset(_CODECS)
"""Formats of the file that is written; it says by its suffix which one. AVI is none: it has no time stamps."""
# These cannot say that pictures are to be turned for showing.
_NO_ROTATION = frozenset({".ts", ".m2ts", ".mts"})
# What MP4 and MOV have fields for; anything else, such as QuickTime's make and place, needs a list of its own.
_PLAIN_TAGS = (
    "title artist album_artist composer album date comment genre copyright grouping lyrics description synopsis show "
    "episode_id network keywords location location-eng encoder encoded_by creation_time major_brand minor_version "
    "compatible_brands"
)
_AHEAD = 4


class VideoWriter:
    """Takes frames and audio packets, encodes in a thread of its own; see `open_writer`."""

    def __init__(self, container: Any, reader: VideoReader, path: Path, keep_metadata: bool) -> None:
        self._container, self._source, self._path = container, reader.source, path
        suffix = path.suffix.lower()
        # Mirrored pictures are written as they are shown: many players leave the mirroring of a matrix out.
        upright = suffix in _NO_ROTATION or reader.source.mirrored
        self._rotation = 0 if upright else reader.source.rotation
        self._stream = self._video_stream(suffix)
        self._audio = {s.index: Sound(container, s, suffix) for s in reader.audio}
        if keep_metadata:
            container.metadata.update(reader.source.metadata)
            self._stream.metadata.update(_tags(reader.tags))
            for stream in reader.audio:
                self._audio[stream.index].stream.metadata.update(_tags(stream.metadata))
        self._durations: dict[int, int] = {}
        self._line: queue.Queue[Any] = queue.Queue(_AHEAD + 60)
        self._slots = threading.Semaphore(_AHEAD)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="encode")
        self._thread.start()

    def write(self, frame: Frame, image: Image, changed: NDArray[np.float32] | None = None) -> None:
        """Queue an upright RGB picture in the frame's place; waits when the encoder is behind.

        `changed` (N, 4, xyxy): where it differs from the frame's own; the rest is then encoded as it was decoded.
        """
        self._slots.acquire()
        self._put((frame, image, changed))

    def copy(self, packet: Any) -> None:
        """Queue a packet of one of the source's audio streams."""
        self._put(packet)

    def finish(self) -> None:
        """Waits until all is written, after which nothing more can be; VideoError when something went wrong."""
        if not self._thread.is_alive() and self._failure is None:
            return
        self._put(None)
        self._thread.join()
        self._raise_failure()
        with _named(self._path):
            self._container.close()

    def abandon(self) -> None:
        """Stops without caring for the rest."""
        self._failure = self._failure or RuntimeError("abandoned")
        while self._thread.is_alive():
            try:
                self._line.put(None, timeout=0.1)
            except queue.Full:
                # It may have become empty since; whatever went wrong before matters more.
                with suppress(queue.Empty):
                    self._line.get_nowait()
            self._thread.join(0.1)

    def _put(self, item: Any) -> None:
        self._raise_failure()
        self._line.put(item)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            with _named(self._path):
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
            frame, image, changed = item
            self._durations[frame.pts] = frame.duration
            if frame.decoded is None or changed is None:
                stored = self._stored(image)
            else:
                stored = patched(frame.decoded, image, changed, self._source.colour)
            stored.pts, stored.time_base = frame.pts, self._source.time_base
            self._mux(self._stream.encode(stored))
        elif item is None:
            self._mux(self._stream.encode(None))
            for sound in self._audio.values():
                sound.finish()
        else:
            self._audio[item.stream.index].write(item)

    def _stored(self, image: Image) -> Any:
        stored = np.rot90(image, -self._rotation // 90) if self._rotation else image
        height, width = stored.shape[:2]
        if height % 2 or width % 2:  # 4:2:0 has no odd sides; the last row or column is doubled
            stored = np.pad(stored, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(stored), format="rgb24")
        colour = self._source.colour
        return frame.reformat(
            format="yuv420p",
            dst_colorspace=colour.get("colorspace"),
            dst_color_range=colour.get("color_range"),
        )

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
        turned = self._rotation % 180 != 0
        width, height = (source.height, source.width) if turned else (source.width, source.height)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = stream.time_base = source.time_base
        # No B-frames: decoding order is showing order, so that time stamps come out as they went in.
        stream.codec_context.max_b_frames = 0
        for key, value in source.colour.items():
            setattr(stream.codec_context, key, value)
        if source.aspect is not None:
            # Of a stored pixel: it lies on its other side where the picture is turned here and not for showing.
            aside = (source.rotation - self._rotation) % 180 != 0
            stream.codec_context.sample_aspect_ratio = 1 / source.aspect if aside else source.aspect
        if self._rotation:
            stream.set_display_rotation(self._rotation)
        return stream


@contextmanager
def open_writer(
    target: str | os.PathLike[str], reader: VideoReader, *, keep_metadata: bool = True
) -> Iterator[VideoWriter]:
    """A writer for a video like the reader's, with its sound (see `Sound`); the file appears under its name when all
    of it is written.

    Raises ConfigError for a suffix that is not in WRITABLE, VideoError when it cannot be written; then the partial
    file is gone, as it is when the caller raises something.
    """
    path = Path(target)
    suffix = path.suffix.lower()
    if suffix not in WRITABLE:
        reason = " (AVI has no time stamps and no rotation)" if suffix == ".avi" else ""
        raise ConfigError(f"{path}: videos are written as {', '.join(sorted(WRITABLE))}{reason}")
    with ExitStack() as stack:
        with _named(path, begun=False):
            temporary = stack.enter_context(atomic_path(path))
            tags = reader.source.metadata if keep_metadata else {}
            container = av.open(str(temporary), "w", options=_muxer(suffix, tags))
        stack.callback(_close, container)
        with _named(path):
            writer = VideoWriter(container, reader, path, keep_metadata)
        try:
            yield writer
            writer.finish()
        except BaseException:
            writer.abandon()
            raise
        with _named(path):
            stack.close()


def draw_tracked(image: Image, tracked: Tracked) -> tuple[Image, NDArray[np.float32]]:
    """A copy of the frame with boxes, landmarks and track ids, and the regions (N, 4, xyxy) that they touch."""
    labels = ["" if track == UNTRACKED else f"#{track}" for track in tracked.ids]
    drawn = draw_detections(image, tracked.found, labels)
    return drawn, drawn_regions(image.shape[:2], tracked.found, labels)


def _muxer(suffix: str, tags: dict[str, str]) -> dict[str, str]:
    if suffix == ".mts":  # as cameras write it; of .m2ts FFmpeg knows
        return {"mpegts_m2ts_mode": "1"}
    if suffix not in (".mp4", ".m4v", ".mov"):
        return {}
    return {
        "movflags": "+faststart" + ("" if set(_PLAIN_TAGS.split()).issuperset(tags) else "+use_metadata_tags")
    }


def _tags(tags: dict[str, str]) -> dict[str, str]:
    """A stream's language and title, which MP4 calls a name; the rest tells how the source was written."""
    known = {"language": "language", "title": "title", "name": "title"}
    return {known[key.lower()]: value for key, value in tags.items() if key.lower() in known}


def _close(container: Any) -> None:
    with suppress(av.error.FFmpegError, OSError, ValueError):  # of a run that has failed already
        container.close()


@contextmanager
def _named(path: Path, begun: bool = True) -> Iterator[None]:
    """What goes wrong inside is told as a VideoError that names the file; once it is begun, a part of it goes, too."""
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        removed = "; the partial file was removed" if begun else ""
        raise VideoError(f"{path}: cannot be written ({reason_of(error)}){removed}") from error
