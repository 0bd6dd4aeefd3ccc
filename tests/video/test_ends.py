"""Where videos end: cut ones are refused in every format that tells, whole ones in none."""

from __future__ import annotations

import struct
import time
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import av
from clips import run

from featherface.errors import VideoError
from featherface.video import open_video
from featherface.video.ends import _ASF_DATA, _ASF_HEADER, _ASF_PROPERTIES, what_is_missing

COUNT = 50
# Name, codecs, options of the container, and what is said of the first half of it.
KINDS = {
    "faststart.mp4": ("libx264", "aac", {"movflags": "+faststart"}, f" of {COUNT} frames are there"),
    "plain.mp4": ("libx264", "aac", {}, "cannot be opened"),
    "in parts.mp4": ("libx264", "aac", {"movflags": "+frag_keyframe+empty_moov"}, "truncated"),
    "flash.flv": ("libx264", "aac", {}, "within a packet"),
    "old.flv": ("flv", None, {}, "within a packet"),
    "windows.wmv": ("wmv2", "wmav2", {}, " bytes are there"),
    "windows.asf": ("wmv2", None, {}, " bytes are there"),
    "program.mpg": ("mpeg1video", "mp2", {}, "within a packet"),
    "dvd.vob": ("mpeg2video", "mp2", {}, "within a packet"),
    "free.ogv": ("libvpx", "flac", {}, "within a packet"),
    "matroska.mkv": ("libx264", "aac", {}, "truncated"),
    "web.webm": ("libvpx-vp9", None, {}, "truncated"),
    "transport.ts": ("libx264", "aac", {}, "within a packet"),
}
KIND = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file of each kind, made when first asked for: noise, so that it has some size, and silence."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def get(name):
        if name not in made:
            made[name] = make(folder / name, *KINDS[name][:3]).read_bytes()
        return made[name]

    return get


def make(path, pictures, sound, options, first=0):
    random, rate = np.random.default_rng(0), 44100
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream(pictures, rate=25, options={"g": "10"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream(sound, rate=rate, layout="stereo") if sound else None
        if sound == "wmav2":
            audio.bit_rate = 64_000
        for index in range(COUNT):
            frame = av.VideoFrame.from_ndarray(random.integers(0, 256, (48, 64, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = first + index, Fraction(1, 25)
            container.mux(video.encode(frame))
            if audio is not None:
                planar = audio.codec_context.codec.audio_formats[0].name
                shape = (2, rate // 25) if planar.endswith("p") else (1, 2 * rate // 25)
                dtype = np.float32 if planar.startswith("flt") else np.int16
                part = av.AudioFrame.from_ndarray(np.zeros(shape, dtype), planar, "stereo")
                part.sample_rate, part.pts, part.time_base = rate, index * rate // 25, Fraction(1, rate)
                container.mux(audio.encode(part))
        container.mux(video.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def read(path):
    with open_video(str(path)) as reader:
        return len(list(reader.frames()))


@KIND
def test_whole_ones_are_whole(whole, tmp_path, name):
    (tmp_path / name).write_bytes(whole(name))
    assert read(tmp_path / name) == COUNT


def test_pictures_that_begin_late_are_whole(tmp_path):
    """Matroska says when its last picture ends, not how long it shows."""
    assert read(make(tmp_path / "late.mkv", "libx264", None, {}, first=125)) == COUNT


def test_something_behind_many_packs_is_soon_walked_over(whole, tmp_path):
    packs = (
        b"\0\0\1\xba" + b"\x44" + bytes(9) + b"\0\0\1\xe0" + (2028).to_bytes(2, "big") + b"\xff" * 2028
    ) * 512
    (tmp_path / "junk.mpg").write_bytes(packs + b"\x17" * 40)
    began = time.process_time()
    assert what_is_missing(tmp_path / "junk.mpg", "mpeg", None) is None
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(_ASF_HEADER + (24).to_bytes(8, "little") + bytes(6), id="shorter than itself"),
        pytest.param(
            _ASF_HEADER + (54).to_bytes(8, "little") + bytes(14) + _ASF_PROPERTIES + _ASF_DATA + bytes(8),
            id="properties at its end",
        ),
    ],
)
def test_a_header_that_makes_no_sense_tells_nothing(tmp_path, header):
    (tmp_path / "odd.wmv").write_bytes(header)
    assert what_is_missing(tmp_path / "odd.wmv", "asf", None) is None


@pytest.mark.parametrize("share", [0.51, 0.93])
@KIND
def test_cut_ones_are_refused(whole, tmp_path, name, share):
    data = whole(name)
    # Encoders give some bytes more or less on other processors, so the share alone may end with a packet.
    end = next(at for at in range(int(len(data) * share), 0, -1) if at % 188 and at % 2048)
    (tmp_path / name).write_bytes(data[:end])
    result = run("anonymise", tmp_path / name, "--save", tmp_path / "out", "--every", "25", "-q")
    reason = KINDS[name][3] if share < 0.9 else name
    assert result.exit_code == 1 and reason in result.output and name in result.output, result.output
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "behind", [bytes(1000), b"\0", b"appended by a recorder" * 9], ids=["zeros", "one", "text"]
)
@pytest.mark.parametrize("name", ["flash.flv", "windows.wmv", "program.mpg", "dvd.vob", "matroska.mkv"])
def test_what_is_appended_to_a_whole_one_does_no_harm(whole, tmp_path, name, behind):
    (tmp_path / name).write_bytes(whole(name) + behind)
    assert read(tmp_path / name) == COUNT


def test_flash_cut_between_two_tags_is_told_by_its_duration(whole, tmp_path):
    data = whole("flash.flv")
    at, ends = 13, []
    while at < len(data):
        at += 15 + int.from_bytes(data[at + 1 : at + 4], "big")
        ends.append(at)
    (tmp_path / "cut.flv").write_bytes(data[: ends[len(ends) // 2]])
    with pytest.raises(VideoError, match=r"cut.flv: truncated, 1\.\d of 2\.\d seconds are there"):
        read(tmp_path / "cut.flv")


def test_a_broadcast_says_no_length(whole, tmp_path):
    """Its header was written before anybody knew how long it would be: the fields hold anything."""
    data = bytearray(whole("windows.asf"))
    properties = data.index(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    data[properties + 88] |= 1
    (tmp_path / "b.asf").write_bytes(data[: len(data) * 3 // 4])
    assert 0 < read(tmp_path / "b.asf") < COUNT


@pytest.mark.parametrize(
    ("milliseconds", "start", "frames"),
    [(2000, 0, 50), (1000, 0, 25), (1000, 512 * 20, 25), (600, 512 * 20, 15)],
    ids=["all of it", "its start", "its middle", "less of that"],
)
def test_a_trimmed_mp4_is_whole(whole, tmp_path, milliseconds, start, frames):
    """Phones and editors trim by a list of what is shown; the rest of the frames stays in the file."""
    data = bytearray(make(tmp_path / "t.mp4", "mpeg4", None, {}).read_bytes())
    entry = data.index(b"elst") + 12
    assert struct.unpack_from(">Ii", data, entry) == (2000, 0), "the list shows all"
    data[entry : entry + 8] = struct.pack(">Ii", milliseconds, start)
    (tmp_path / "t.mp4").write_bytes(data)
    assert read(tmp_path / "t.mp4") == frames
