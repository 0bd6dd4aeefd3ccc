"""Files of `featherface video` and of videos through `featherface anonymise`: what they keep, and what a run that
fails or is stopped leaves behind."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import av

from featherface.cli.app import build_app
from featherface.errors import FeatherFaceError, VideoError
from featherface.video import open_video, open_writer

sys.path.insert(0, str(Path(__file__).parent))
from clips import probe, write_clip

sys.path.pop(0)
COUNT = 10
MAIN = (
    "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from featherface.cli import main; main()"
)


@pytest.fixture(scope="module")
def images():
    rows = np.arange(64)[:, None, None]
    return [np.broadcast_to(rows + 9 * i, (64, 96, 3)).astype(np.uint8) for i in range(COUNT)]


@pytest.fixture(scope="module")
def clip(images, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", images)


@pytest.fixture(scope="module")
def long_clip(images, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mp4", images * 200)


def run(*arguments):
    return CliRunner().invoke(build_app(), [str(a) for a in arguments])


def contents(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.md5(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize(
    "arguments",
    [
        ["video", "c.mp4", "--save", "c.mp4"],
        ["video", "c.mp4", "--json", "c.mp4"],
        ["video", "c.mp4", "--csv", "link.mp4"],
        ["video", "c.mp4", "--save", "x.mp4", "--json", "x.mp4"],
        ["video", "c.mp4", "--json", "same", "--csv", "same"],
        ["video", "c.mp4", "--json", "-", "--csv", "-"],
        ["video", "stills", "--json", "stills/1.png"],
        ["video", "stills/*.png", "--csv", "stills/1.png"],
        ["anonymise", "a/c.wmv", "b/c.wmv.mp4", "--save", "b"],
        ["anonymise", "c.mp4", "--save", "out", "--json", "c.mp4"],
        ["anonymise", "c.mp4", "--save", "out", "--json", "out/c.mp4"],
    ],
    ids=" ".join,
)
def test_no_original_changes_and_no_output_replaces_another(clip, images, tmp_path, monkeypatch, arguments):
    import cv2

    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b", "stills"):
        (tmp_path / folder).mkdir()
    for name in ("c.mp4", "a/c.wmv", "b/c.wmv.mp4"):
        shutil.copy(clip, tmp_path / name)
    (tmp_path / "link.mp4").hardlink_to(tmp_path / "c.mp4")
    cv2.imwrite("stills/1.png", images[0])
    before = contents(tmp_path)
    result = run(*arguments, "-q")
    assert result.exit_code != 0
    said = f"{result.output}{result.exception}"
    assert "never overwritten" in said or "names the same file" in said
    assert {name: contents(tmp_path).get(name) for name in before} == before
    if arguments[0] == "video":
        assert contents(tmp_path) == before


def test_two_videos_become_two(clip, tmp_path):
    for name in ("x.wmv", "x.wmv.mp4"):
        shutil.copy(clip, tmp_path / name)
    result = run("anonymise", tmp_path / "x.wmv", tmp_path / "x.wmv.mp4", "--save", tmp_path / "out", "-q")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["x.wmv-2.mp4", "x.wmv.mp4"]


@pytest.mark.parametrize("option", ["--json", "--csv"])
@pytest.mark.parametrize("room", [0, 60])
def test_no_room_for_the_records_leaves_nothing(clip, tmp_path, monkeypatch, option, room):
    """No room at all, or for the first bytes alone: what is written last is found out last."""
    out = tmp_path / "out"
    target = out / "records"
    from featherface.video import records

    class Full:
        def __init__(self, file):
            self.file, self.written = file, 0

        def write(self, text):
            self.written += len(text)
            return len(text)

        def close(self):
            self.file.close()
            if self.written > room:
                raise OSError(28, "No space left on device")

    real = records._open
    monkeypatch.setattr(records, "_open", lambda stack, name: _full(real(stack, name), Full))
    result = run("video", clip, "--save", out / "o.mp4", option, target, "-q")
    assert isinstance(result.exception, FeatherFaceError)
    assert "records: cannot be written (no space left on device)" in str(result.exception)
    assert not list(out.iterdir())


def _full(lines, kind):
    lines._file = kind(lines._file)
    return lines


def test_a_full_disk_is_one_line_for_records_too(clip, tmp_path):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    command = [sys.executable, "-c", MAIN, "video", str(clip), "--json", str(tmp_path / "o.json"), "-q"]
    done = subprocess.run(command, preexec_fn=little_room, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "o.json: cannot be written" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["video", "anonymise"])
@pytest.mark.long
def test_a_stopped_run_leaves_no_half_written_file(long_clip, tmp_path, stop, command):
    out = tmp_path / "out"
    save = out / "o.mp4" if command == "video" else out
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, command, str(long_clip), "--save", str(save), "--every", "100", "-q"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        # Where the tests run in the background, Ctrl-C is ignored, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while process.poll() is None and not (out.is_dir() and list(out.iterdir())):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.poll() is None, "it was stopped while it wrote"
    process.send_signal(stop)
    _, said = process.communicate(timeout=120)
    assert process.returncode != 0 and b"Traceback" not in said, said
    assert not list(out.iterdir())


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


def test_what_the_caller_raises_is_not_taken_for_the_writers(clip, tmp_path):
    with (
        open_video(str(clip)) as reader,
        pytest.raises(ValueError, match="the caller's own"),
        open_writer(tmp_path / "o.mp4", reader),
    ):
        raise ValueError("the caller's own")
    assert not list(tmp_path.iterdir())


def test_the_records_of_a_run_that_fails_are_not_there(clip, tmp_path, monkeypatch):
    monkeypatch.setattr("featherface.video.write.VideoWriter.finish", _fails)
    result = run("video", clip, "--save", tmp_path / "o.mp4", "--json", tmp_path / "o.json", "-q")
    assert isinstance(result.exception, VideoError) and not list(tmp_path.iterdir())


def _fails(self):
    raise VideoError("o.mp4: cannot be written")


def test_a_report_for_standard_output(clip):
    result = run("video", clip, "--json", "-", "-q")
    assert result.exit_code == 0 and len(json.loads(result.stdout)["frames"]) == COUNT
