"""What each kind of file holds and keeps: time stamps, turned pictures, metadata, and where it ends."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import av
from clips import probe, run, write_clip

from featherface.errors import FeatherFaceError, VideoError
from featherface.video import open_video, open_writer

COUNT = 10


def avi(folder, images, drop):
    """25 frames a second, some of which a camera dropped: the file counts them, but holds nothing for them."""
    with av.open(str(folder / "d.avi"), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = "yuv420p"
        for index, image in enumerate(images):
            if index in drop:
                continue
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return folder / "d.avi"


@pytest.mark.parametrize("drop", [(), (3, 4, 5), (1, 7)], ids=str)
def test_an_avi_with_dropped_frames_is_whole(images, tmp_path, drop):
    source = avi(tmp_path, images, drop)
    result = run("anonymise", source, "--save", tmp_path / "out", "-q")
    assert result.exit_code == 0, result.output
    after = probe(tmp_path / "out" / "d.avi.mp4")[0]
    np.testing.assert_allclose(after["times"], [i / 25 for i in range(COUNT) if i not in drop], atol=1e-4)


def test_half_an_avi_is_not(images, tmp_path):
    source = avi(tmp_path, images * 8, ())
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with open_video(str(source)) as reader, pytest.raises(VideoError, match="truncated"):
        list(reader.frames())


def _spaced(data):
    """Packets of 204 bytes: 16 of another layer behind each, as some receivers keep."""
    return b"".join(data[i : i + 188] + bytes(16) for i in range(0, len(data), 188))


@pytest.mark.parametrize("cut", [None, -1, -100, 0.5], ids=str)
@pytest.mark.parametrize(
    ("suffix", "change", "length"), [(".ts", bytes, 188), (".m2ts", bytes, 192), (".ts", _spaced, 204)]
)
def test_a_transport_stream_cut_within_a_packet_is_truncated(images, tmp_path, suffix, change, length, cut):
    source = write_clip(tmp_path / f"c{suffix}", images * 4, sound=True)
    data = change(source.read_bytes())
    assert len(data) % length == 0
    end = len(data) // 2 // length * length + 7 if cut == 0.5 else cut
    source.write_bytes(data[:end])
    result = run("video", source, "--save", tmp_path / "o" / "o.mp4", "--every", "50", "-q")
    if cut is None:
        assert result.exit_code == 0, result.exception
        return
    assert isinstance(result.exception, VideoError) and "truncated" in str(result.exception)
    assert not list((tmp_path / "o").iterdir())


def test_avi_is_not_written(clip, tmp_path):
    result = run("video", clip, "--save", tmp_path / "o.avi", "-q")
    assert isinstance(result.exception, FeatherFaceError) and "AVI has no time stamps" in str(
        result.exception
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v", ".mkv", ".webm", ".ts"])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_pictures_stand_upright_in_every_format(images, tmp_path, suffix, rotation):
    stored = [np.rot90(image, -rotation // 90) for image in images[:4]]
    source = write_clip(tmp_path / "phone.mp4", stored, rotation=rotation)
    target = tmp_path / f"o{suffix}"
    with open_video(str(source)) as reader:
        shown = [frame.image for frame in reader.frames()]
    with open_video(str(source)) as reader, open_writer(target, reader) as writer:
        for frame in reader.frames():
            writer.write(frame, frame.image)
    with open_video(str(target)) as reader:
        assert reader.source.rotation == (0 if suffix == ".ts" else rotation)
        for before, frame in zip(shown, reader.frames(), strict=True):
            assert np.abs(before.astype(int) - frame.image).mean() < 12


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v", ".mkv", ".webm", ".ts", ".m2ts", ".mts"])
def test_times_of_pictures_and_sound_stay_in_every_format(images, tmp_path, suffix):
    """An MP4's sound begins before 0, with what the decoder swallows; not every format has such times."""
    source, target = write_clip(tmp_path / "c.mp4", images * 3, sound=True), tmp_path / f"o{suffix}"
    with av.open(str(source)) as container:
        packet = next(container.demux(audio=0))
        assert packet.pts < 0, "the test's clip has such sound"
    assert run("video", source, "--save", target, "--every", "30", "-q").exit_code == 0
    starts = {}
    with av.open(str(target)) as container:
        for frame in container.decode(*container.streams.video, *container.streams.audio):
            starts.setdefault(type(frame).__name__, float(frame.pts * frame.time_base))
    assert starts["VideoFrame"] == 0
    assert starts["AudioFrame"] == pytest.approx(0, abs=0.015)


def phone(folder, images, suffix):
    tags = {
        "title": "A day out",
        "com.apple.quicktime.location.ISO6709": "+48.1+011.6/",
        "com.apple.quicktime.make": "A maker",
    }
    path = folder / f"phone{suffix}"
    options = {"movflags": "+use_metadata_tags"} if suffix != ".mkv" else {}
    with av.open(str(path), "w", options=options) as container:
        container.metadata.update(tags)
        video = container.add_stream("libx264", rate=25)
        audio = container.add_stream("aac", rate=16000, layout="mono")
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = "yuv420p"
        for stream, title in ((video, "View"), (audio, "Voice")):
            stream.metadata.update({"language": "fra", "title": title})
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), "s16", "mono")
        part.sample_rate, part.pts, part.time_base = 16000, 0, Fraction(1, 16000)
        container.mux([*audio.encode(part), *audio.encode(None), *video.encode(None)])
    return path


def tags(path):
    with av.open(str(path)) as container:
        streams = [{k.lower(): v for k, v in s.metadata.items()} for s in container.streams]
        return {k.lower(): v for k, v in container.metadata.items()}, [
            (s.get("language"), s.get("title") or s.get("name")) for s in streams
        ]


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv"])
def test_kept_metadata_is_all_of_it(images, tmp_path, suffix):
    source = phone(tmp_path, images, suffix)
    before, streams = tags(source)
    assert before["com.apple.quicktime.make"] == "A maker", "the test's clip has what is to be kept"
    for folder, options in (("kept", ["--keep-metadata"]), ("gone", [])):
        result = run("anonymise", source, "--save", tmp_path / folder, "-q", *options)
        assert result.exit_code == 0, result.output
    after, kept_streams = tags(tmp_path / "kept" / source.name)
    wanted = ["title", *(key for key in before if key.startswith("com."))]
    assert {key: after.get(key) for key in wanted} == {key: before[key] for key in wanted}
    assert kept_streams == streams
    bare = (tmp_path / "gone" / source.name).read_bytes()
    assert not any(word in bare for word in (b"A day out", b"+48.1", b"A maker", b"Voice", b"View"))
