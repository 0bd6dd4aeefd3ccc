"""Sound of every kind: copied into a file that can hold it, encoded again where none can."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import av
from clips import run

COUNT, TONE = 25, 440


def make(path, pictures, sound, rate, layout):
    """A second of grey pictures and of a tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(pictures, rate=25)
        video.width, video.height, video.pix_fmt = 176, 144, "yuv420p"
        audio = container.add_stream(sound, rate=rate, layout=layout)
        if sound.startswith("wma"):
            audio.bit_rate = 64_000
        length = rate // 25
        for index in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.full((144, 176, 3), 99, np.uint8), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            wave = np.sin(np.arange(index * length, (index + 1) * length) / rate * 2 * np.pi * TONE) * 9000
            channels = np.repeat(wave.astype(np.int16)[:, None], 1 if layout == "mono" else 2, axis=1)
            part = av.AudioFrame.from_ndarray(channels.reshape(1, -1), "s16", layout)
            part.sample_rate, part.pts, part.time_base = rate, index * length, Fraction(1, rate)
            container.mux(audio.encode(part))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def heard(path):
    """The codec, the seconds from the first picture to the first sound and of the sound, and its tone in hertz."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        to_mono = av.AudioResampler("s16", "mono", 16000)
        parts, first = [], {}
        for frame in container.decode(stream, container.streams.video[0]):
            if frame.pts is not None:
                first.setdefault(type(frame).__name__, float(frame.pts * frame.time_base))
            if isinstance(frame, av.AudioFrame):
                parts += [part.to_ndarray()[0] for part in to_mono.resample(frame)]
    wave = np.concatenate(parts).astype(float)
    spectrum = np.abs(np.fft.rfft(wave))
    tone = float(np.argmax(spectrum) * 16000 / len(wave))
    later = first["AudioFrame"] - first["VideoFrame"]
    return stream.codec_context.codec.canonical_name, later, len(wave) / 16000, tone


@pytest.mark.parametrize(
    ("name", "pictures", "sound", "rate", "layout", "becomes", "codec"),
    [
        ("a.m2ts", "libx264", "pcm_bluray", 48000, "stereo", "a.m2ts", "pcm_bluray"),
        ("a.mts", "libx264", "ac3", 48000, "stereo", "a.mts", "ac3"),
        ("a.wmv", "wmv2", "wmav2", 44100, "stereo", "a.wmv.mp4", "aac"),
        ("a.3gp", "h263", "libopencore_amrnb", 8000, "mono", "a.3gp.mov", "amr_nb"),
        ("a.flv", "libx264", "aac", 44100, "stereo", "a.flv.mp4", "aac"),
        ("b.flv", "libx264", "adpcm_swf", 44100, "mono", "b.flv.mp4", "aac"),
        ("a.avi", "mpeg4", "pcm_u8", 44100, "stereo", "a.avi.mkv", "pcm_u8"),
        ("b.avi", "mpeg4", "pcm_s16le", 44100, "stereo", "b.avi.mp4", "pcm_s16le"),
        ("c.avi", "mpeg4", "libmp3lame", 44100, "stereo", "c.avi.mp4", "mp3"),
        ("d.avi", "mpeg4", "adpcm_ms", 44100, "stereo", "d.avi.mp4", "aac"),
        ("e.avi", "mpeg4", "pcm_alaw", 8000, "mono", "e.avi.mov", "pcm_alaw"),
        ("a.mpg", "mpeg2video", "mp2", 48000, "stereo", "a.mpg.mp4", "mp3"),  # MP4 has one name for both
        ("a.mov", "mpeg4", "pcm_s16be", 48000, "stereo", "a.mov", "pcm_s16be"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else None,
)  # fmt: skip
def test_the_sound_is_in_a_file_that_can_hold_it(
    tmp_path, name, pictures, sound, rate, layout, becomes, codec
):
    source = make(tmp_path / name, pictures, sound, rate, layout)
    result = run("anonymise", source, "--save", tmp_path / "out", "--every", "25", "-q")
    assert result.exit_code == 0 and not result.output, result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == [becomes]
    before, after = heard(source), heard(tmp_path / "out" / becomes)
    assert after[0] == codec
    assert after[1] == pytest.approx(before[1], abs=0.05), "in time with the pictures"
    assert after[2] == pytest.approx(before[2], abs=0.07) and after[3] == pytest.approx(TONE, abs=8)


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "opus"), (".m4v", "aac"), (".mp4", "aac")])
def test_a_chosen_format_that_cannot_hold_it_has_it_encoded_again(tmp_path, suffix, codec):
    source = make(tmp_path / "a.wmv", "wmv2", "wmav2", 44100, "stereo")
    result = run("video", source, "--save", tmp_path / f"o{suffix}", "--every", "25", "-q")
    assert result.exit_code == 0, result.exception
    name, later, seconds, tone = heard(tmp_path / f"o{suffix}")
    assert name == codec and seconds == pytest.approx(1, abs=0.1) and tone == pytest.approx(TONE, abs=8)
    assert later == pytest.approx(heard(source)[1], abs=0.05)


def test_sound_of_an_unknown_kind_is_one_line_and_the_other_inputs_are_done(tmp_path):
    source = make(tmp_path / "a.mkv", "libx264", "aac", 44100, "stereo")
    source.write_bytes(source.read_bytes().replace(b"A_AAC", b"A_XYZ"))
    other = make(tmp_path / "b.mkv", "libx264", "aac", 44100, "stereo")
    result = run("anonymise", source, other, "--save", tmp_path / "out", "--every", "25", "-q")
    assert result.exit_code == 1 and "a sound track of an unknown kind" in result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.mkv"]


def test_a_damaged_packet_of_sound_is_a_gap_and_not_the_end(tmp_path):
    source = make(tmp_path / "a.avi", "mpeg4", "ac3", 48000, "stereo")
    data = bytearray(source.read_bytes())
    at = data.find(b"01wb", len(data) // 2) + 8
    data[at : at + 52] = bytes(52)
    source.write_bytes(data)
    result = run("video", source, "--save", tmp_path / "o.webm", "--every", "25", "-q")
    assert result.exit_code == 0, result.exception
    name, _, seconds, tone = heard(tmp_path / "o.webm")
    assert name == "opus" and seconds > 0.8 and tone == pytest.approx(TONE, abs=8)
