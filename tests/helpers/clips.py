"""Small videos made on the spot, with what real ones have: sound, rotation, odd sizes, 10 bit, gaps in time."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
from typer.testing import CliRunner

from featherface.cli.app import build_app

TIME_BASE = Fraction(1, 12800)


def run(*arguments):
    """A command of featherface, and what came of it."""
    return CliRunner().invoke(build_app(), [str(a) for a in arguments])


def portraits(examples, count, width=320, height=240):
    """Frames that move over the sample pictures: one face in each."""
    from featherface.video.compose import Shot, compose

    boxes = {"eileen_collins.jpg": [180, 60, 272, 178], "grace_hopper.jpg": [176, 117, 354, 333]}
    shots = [
        Shot(cv2.imread(str(examples / name), cv2.IMREAD_COLOR_RGB), np.array([box], np.float32))
        for name, box in boxes.items()
    ]
    return list(compose(shots, width, height, count, zoom=1.15))


def display_matrix(rotation, mirrored):
    """What says that pictures are mirrored left to right, then turned by `rotation` degrees counter-clockwise."""
    a, b = {0: (1, 0), 90: (0, -1), 180: (-1, 0), 270: (0, 1)}[rotation]
    across = -1 if mirrored else 1
    return [across * a << 16, across * b << 16, 0, -b << 16, a << 16, 0, 0, 0, 1 << 30]


def write_clip(
    path,
    images,
    *,
    times=None,
    rate=25,
    sound=False,
    rotation=0,
    mirrored=False,
    pix_fmt="yuv420p",
    codec="libx264",
    metadata=None,
    sound_only=False,
    aspect=None,
    colorspace=None,
):
    """An encoded clip; `times` are seconds."""
    images = list(images)
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        video = None
        if not sound_only:
            video = container.add_stream(codec, rate=rate)
            video.height, video.width = images[0].shape[:2]
            video.pix_fmt = pix_fmt
            video.codec_context.time_base = video.time_base = TIME_BASE
            if colorspace is not None:
                video.codec_context.colorspace = colorspace
            if aspect is not None:
                video.codec_context.sample_aspect_ratio = aspect
            if rotation or mirrored:
                video.set_display_matrix(display_matrix(rotation, mirrored))
        audio = container.add_stream("aac", rate=16000, layout="mono") if sound else None
        for index, image in enumerate(images if video is not None else []):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            seconds = times[index] if times is not None else index / rate
            frame.pts, frame.time_base = round(seconds / TIME_BASE), TIME_BASE
            container.mux(video.encode(frame))
        if video is not None:
            container.mux(video.encode(None))
        if audio is not None:
            length = times[-1] if times is not None else max(1, len(images)) / rate
            for start in range(0, int(length * 16000), 1024):
                wave = np.sin(np.arange(start, start + 1024) / 16000 * 2 * np.pi * 440)
                part = av.AudioFrame.from_ndarray((wave * 9000).astype(np.int16)[None], "s16", "mono")
                part.sample_rate, part.pts, part.time_base = 16000, start, Fraction(1, 16000)
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
    return path


def probe(path):
    """What ffprobe would tell of a file."""
    about = {"times": [], "audio": [], "rotation": 0}
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        about["rate"], about["metadata"] = video.average_rate, dict(container.metadata)
        about["duration"] = container.duration / 1e6
        about["codecs"] = [stream.codec_context.name for stream in container.streams]
        images = []
        for packet in container.demux():
            if packet.stream.type == "audio":
                if packet.size:
                    about["audio"].append(bytes(packet))
                continue
            for frame in packet.decode():
                about["times"].append(float(frame.pts * frame.time_base))
                about["rotation"] = round(frame.rotation) % 360
                images.append(frame.to_ndarray(format="rgb24"))
        about["size"] = (video.width, video.height)
    return about, images


COVER, WORDS = b"COVER-OF-A-FACE", b"Somebody's name"


def add_streams(film, target, *, words=False):
    """The film and what else files carry: a cover, in Matroska another attachment; for `words` subtitles and data.

    The cover is a JPEG whose comment is COVER; subtitles and data say WORDS.
    """
    cover = _jpeg_with_comment(cv2.imencode(".jpg", np.full((32, 48, 3), 99, np.uint8))[1].tobytes())
    with av.open(str(film)) as source, av.open(str(target), "w") as container:
        streams = {s.index: container.add_stream_from_template(s) for s in source.streams}
        picture = None
        if target.suffix == ".mkv":
            container.add_attachment("cover.jpg", "image/jpeg", cover)
            container.add_attachment("notes.txt", "text/plain", WORDS)
        else:
            picture = container.add_mux_stream("mjpeg", rate=25, width=48, height=32, pix_fmt="yuvj420p")
            picture.disposition = picture.disposition.attached_pic
        extra = _word_streams(container, target.suffix) if words else []
        packets = list(source.demux())
        container.start_encoding()
        for stream in [picture] if picture is not None else []:
            container.mux(_packet(cover, stream))
        for stream, text in extra:
            container.mux(_packet(text, stream))
        for packet in packets:
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                container.mux(packet)
    return target


def _word_streams(container, suffix):
    """Subtitles, and for MPEG-TS data, with what is to be written to each."""
    if suffix == ".ts":
        return [(container.add_data_stream("klv"), WORDS)]
    if suffix == ".mkv":
        return [(container.add_mux_stream("subrip"), WORDS)]
    return [(container.add_mux_stream("mov_text"), len(WORDS).to_bytes(2, "big") + WORDS)]


def _packet(content, stream):
    packet = av.Packet(content)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = 0
    packet.duration = 200
    return packet


def _jpeg_with_comment(jpeg):
    return jpeg[:2] + b"\xff\xfe" + (len(COVER) + 2).to_bytes(2, "big") + COVER + jpeg[2:]
