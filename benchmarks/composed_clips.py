"""A clip of known faces for the video benchmarks: the camera moves over photos of WIDER FACE's validation set."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.run import load_set
from featherface.images import read_image
from featherface.video.compose import Composed, Shot, compose

RATE = 25
SEEN = 20
"""Faces lower than this many pixels do not count."""
_FRAMES_A_SHOT = 50
_SAMPLES = 48_000


def write_clip(
    data: Path,
    target: Path,
    frames: int,
    width: int = 1280,
    height: int = 720,
    *,
    clip: int = 0,
    clips: int = 1,
    sound: bool = False,
) -> list[Composed]:
    """Write `frames` frames as H.264 and return the faces of each, without their pictures.

    Of several `clips` each has pictures and moves of its own. `sound`: with a tone.
    """
    pictures = load_set(data)
    wanted = max(1, frames // _FRAMES_A_SHOT)
    chosen = np.linspace(0, len(pictures.paths) - 1, wanted * clips).round().astype(int)[clip::clips]
    shots = [_shot(pictures.paths[i], pictures.truths[i]) for i in chosen]
    truth = []
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        tone = container.add_stream("aac", rate=_SAMPLES, layout="mono") if sound else None
        for number, frame in enumerate(compose(shots, width, height, frames, seed=clip)):
            if tone is not None:
                container.mux(tone.encode(_tone(number)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="rgb24")))
            truth.append(Composed(np.zeros((0, 0, 3), np.uint8), frame.boxes, frame.ids))
        for track in (stream, tone) if tone is not None else (stream,):
            container.mux(track.encode(None))
    return truth


def _tone(number: int) -> av.AudioFrame:
    """What sounds while a frame is shown: 440 Hz."""
    count = _SAMPLES // RATE
    times = (np.arange(count) + number * count) / _SAMPLES
    frame = av.AudioFrame.from_ndarray(
        np.sin(2 * np.pi * 440 * times).astype(np.float32)[None], format="fltp", layout="mono"
    )
    frame.sample_rate, frame.pts = _SAMPLES, number * count
    return frame


def tall(frame: Composed) -> NDArray[np.intp]:
    """Which faces of a frame count."""
    return np.flatnonzero(frame.boxes[:, 3] - frame.boxes[:, 1] >= SEEN)


def _shot(path: Path, truth: ImageTruth) -> Shot:
    corners = truth.boxes[truth.counted["hard"]].astype(np.float32)
    corners[:, 2:] += corners[:, :2]
    return Shot(read_image(path), corners)
