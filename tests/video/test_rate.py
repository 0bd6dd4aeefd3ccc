"""Frames per second where a file does not say, and what is counted by them."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import av
from clips import portraits, run, write_clip

from featherface.video import open_video

FPS = 30


@pytest.fixture(scope="module")
def recorded(examples, tmp_path_factory):
    """A WebM as browsers record: time stamps in milliseconds, not quite even, and no rate. A face in some frames."""
    path = tmp_path_factory.mktemp("recorded") / "recorded.webm"
    *_, face = (shown.image for shown in portraits(examples, 4))
    jitter = np.random.default_rng(3).integers(-6, 7, 90)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.bit_rate = 4_000_000  # so that nothing of the face stays in the frames behind it
        stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(90):
            shown = face if 40 <= i < 50 else np.full_like(face, 90)
            frame = av.VideoFrame.from_ndarray(shown, format="rgb24")
            frame.pts, frame.time_base = round(1000 * i / FPS) + int(jitter[i]) + 10, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_the_rate_of_a_recording_is_that_of_its_time_stamps(recorded):
    with open_video(str(recorded)) as reader:
        assert float(reader.source.rate) == pytest.approx(FPS, rel=0.02)
        assert reader.source.frames is None or reader.source.frames == pytest.approx(90, abs=4)


def test_a_rate_that_is_stated_is_believed(images, tmp_path):
    with open_video(str(write_clip(tmp_path / "a.mp4", images, rate=50))) as reader:
        assert reader.source.rate == 50


def test_seconds_of_a_recording_are_seconds(recorded, tmp_path):
    """A face that ten of ninety frames show is not hidden in all of them."""
    report = tmp_path / "report.json"
    options = ("--save", tmp_path / "out", "--bridge", "0", "--margin", "0.2", "--json", report, "-q")
    assert run("anonymise", recorded, *options).exit_code == 0
    (outcome,) = json.loads(report.read_text())["results"]
    assert 10 <= outcome["hidden"] <= 10 + 2 * 0.2 * FPS + 2
