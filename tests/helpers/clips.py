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


def write_clip(
    path,
    images,
    *,
    times=None,
    rate=25,
    sound=False,
    rotation=0,
    pix_fmt="yuv420p",
    codec="libx264",
    metadata=None,
    sound_only=False,
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
            if rotation:
                video.set_display_rotation(rotation)
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
