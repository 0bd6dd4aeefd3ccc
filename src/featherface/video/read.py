"""Videos, image sequences, cameras and streams, as upright RGB frames with their time stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from featherface.addresses import local_path
from featherface.errors import VideoError, reason_of
from featherface.images import Image, read_image
from featherface.video.ends import check_end
from featherface.video.names import camera, is_camera, is_live, stills
from featherface.video.planes import can_be_patched
from featherface.video.rate import STILLS, frame_rate
from featherface.video.upright import turn_of, upright

_OPEN_SECONDS, _READ_SECONDS = 10.0, 15.0


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video."""

    index: int
    """From 0, in the order of showing."""
    pts: int
    """When it is shown, in the source's `time_base`; strictly rising."""
    duration: int
    """How long, in the same unit; 0 when the source does not say."""
    image: Image
    """(H, W, 3) RGB, upright."""
    decoded: Any = None
    """PyAV's frame, where parts of it can be replaced; see `featherface.video.planes`."""


@dataclass(frozen=True)
class Source:
    """What a video says of itself."""

    name: str
    width: int
    """Upright, as `height` is."""
    height: int
    rate: Fraction
    """Frames per second, on average."""
    time_base: Fraction
    frames: int | None
    """How many, as declared or estimated; None for cameras and streams."""
    rotation: int = 0
    """Degrees counter-clockwise by which the stored pictures are turned for showing; a multiple of 90."""
    mirrored: bool = False
    """Whether they are mirrored left to right before they are turned."""
    live: bool = False
    colour: dict[str, int] = field(default_factory=dict)
    """FFmpeg's numbers for color_range, colorspace, color_primaries, color_trc; missing when unspecified."""
    aspect: Fraction | None = None
    """Of a pixel, when it is not square."""
    metadata: dict[str, str] = field(default_factory=dict)


class VideoReader:
    """An open video. `tags` are those of its pictures' stream, such as the title; `audio` are its audio streams,
    whose packets `frames` hands to a listener."""

    def __init__(self, source: Source, container: Any, stream: Any) -> None:
        self.source, self._container, self._stream = source, container, stream
        self.tags: dict[str, str] = {} if stream is None else dict(stream.metadata)
        self.audio: list[Any] = [] if container is None else list(container.streams.audio)

    def frames(self, on_audio: Callable[[Any], None] | None = None) -> Iterator[Frame]:
        """All frames in order, those of another size brought to the video's. VideoError, which names the video,
        when it ends too early or holds none."""
        source, packets, count, last = self.source, 0, 0, None
        size, turned = (source.width, source.height), source.mirrored or source.rotation != 0
        streams = [self._stream, *(self.audio if on_audio else [])]
        try:
            for packet in self._container.demux(streams):
                if packet.stream is not self._stream:
                    if on_audio is not None and packet.dts is not None:
                        on_audio(packet)
                    continue
                packets += packet.size > 0
                for decoded in packet.decode():
                    last = _rising(decoded, last, source)
                    image = _shown(decoded, source)
                    own = decoded if can_be_patched(decoded, size, turned, source.colour) else None
                    yield Frame(count, last, int(decoded.duration or 0), image, own)
                    count += 1
        except (av.error.FFmpegError, OSError) as error:
            verb = "went away" if source.live else "damaged or truncated"
            raise VideoError(f"{source.name}: {verb} after {count} frames ({reason_of(error)})") from error
        if count == 0:
            raise VideoError(f"{source.name}: holds no frames")
        check_end(source, self._container, self._stream, packets, count, last)


class _Stills(VideoReader):
    """Pictures in the order of their names, as a video of 25 frames per second."""

    def __init__(self, name: str, paths: list[Path]) -> None:
        first = read_image(paths[0])
        height, width = first.shape[:2]
        super().__init__(Source(name, width, height, STILLS, 1 / STILLS, len(paths)), None, None)
        self._paths = paths

    def frames(self, on_audio: Callable[[Any], None] | None = None) -> Iterator[Frame]:
        """See `VideoReader.frames`; VideoError for a picture of another size, ImageError for a broken one."""
        expected = (self.source.height, self.source.width)
        for index, path in enumerate(self._paths):
            image = read_image(path)
            if image.shape[:2] != expected:
                height, width = image.shape[:2]
                raise VideoError(
                    f"{path}: {width}x{height}, the sequence began with {expected[1]}x{expected[0]}"
                )
            yield Frame(index, index, 1, image)


@contextmanager
def open_video(name: str) -> Iterator[VideoReader]:
    """A file or its `file:` URL, a folder or pattern (`frame_*.png`) of pictures, a camera's number, or a URL such as
    rtsp://.

    Raises VideoError, which names it, when it cannot be opened or has no video stream.
    """
    name = local_path(name)
    pictures = stills(name)
    if pictures is not None:
        yield _Stills(name, pictures)
        return
    av.logging.set_level(None)
    address, format = camera(int(name)) if is_camera(name) else (name, None)
    try:
        timeout = (_OPEN_SECONDS, _READ_SECONDS) if is_live(name) else None
        container = av.open(address, format=format, timeout=timeout)
    except av.error.EOFError as error:
        raise VideoError(f"{name}: ends before its first frame, holds no frames") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{_called(name)}: cannot be opened ({reason_of(error)})") from error
    with container:
        yield _reader(name, container)


def _reader(name: str, container: Any) -> VideoReader:
    stream = _pictures(container)
    if stream is None:
        raise VideoError(f"{name}: no video stream")
    if stream.codec_context is None or not stream.codec_context.width:
        raise VideoError(f"{name}: holds no frames, or in a format that cannot be decoded")
    stream.thread_type = "AUTO"
    context = stream.codec_context
    live = is_live(name)
    rotation, mirrored = (0, False) if live else _turn(name)
    rate = frame_rate(name, stream, live)
    width, height = context.width, context.height
    if rotation % 180:
        width, height = height, width
    colour = {key: int(getattr(context, key) or 0) for key in _COLOUR}
    aspect = stream.sample_aspect_ratio
    source = Source(
        _called(name),
        width,
        height,
        rate,
        Fraction(stream.time_base or 1 / rate),
        None if live else _declared_frames(container, stream, rate),
        rotation,
        mirrored,
        live,
        {key: value for key, value in colour.items() if value not in (0, _UNSPECIFIED[key])},
        Fraction(aspect) if aspect and aspect != 1 else None,
        dict(container.metadata),
    )
    return VideoReader(source, container, stream)


def _called(name: str) -> str:
    return f"camera {name}" if is_camera(name) else name


_COLOUR = ("color_range", "colorspace", "color_primaries", "color_trc")
_UNSPECIFIED = {"color_range": 0, "colorspace": 2, "color_primaries": 2, "color_trc": 2}


def _declared_frames(container: Any, stream: Any, rate: Fraction) -> int | None:
    if stream.frames:
        return int(stream.frames)
    if stream.duration:
        return max(1, round(float(stream.duration * stream.time_base * rate)))
    return max(1, round(container.duration / 1_000_000 * rate)) if container.duration else None


def _pictures(container: Any) -> Any:
    """The first stream of moving pictures, which a cover is not; None when there is none."""
    streams = (s for s in container.streams.video if not s.disposition & s.disposition.attached_pic)
    return next(streams, None)


def _turn(address: str) -> tuple[int, bool]:
    """What a file's display matrix says, see `turn_of`. PyAV tells it with a decoded frame only: so one is."""
    try:
        with av.open(address) as container:
            for frame in container.decode(_pictures(container)):
                return turn_of(frame)
    except (av.error.FFmpegError, OSError):
        pass  # whatever is wrong is found, and named, when the frames are read
    return 0, False


def _shown(decoded: Any, source: Source) -> Image:
    """The frame upright. VideoError where FFmpeg knows no way to RGB, as for YCgCo and ICtCp: taken for another colour
    space, faces might not look like any."""
    try:
        return upright(decoded, source.rotation, source.width, source.height, mirrored=source.mirrored)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        what = f"{decoded.format.name}, colour space {int(decoded.colorspace)} of ITU-T H.273"
        raise VideoError(f"{source.name}: its pictures ({what}) cannot be turned into RGB") from error


def _rising(decoded: Any, last: int | None, source: Source) -> int:
    """The frame's time stamp; made up from the frame rate where there is none, or where it would not rise."""
    step = max(1, round(1 / source.rate / source.time_base))
    if decoded.pts is None:
        return 0 if last is None else last + step
    return int(decoded.pts) if last is None or decoded.pts > last else last + 1
