"""Videos, places and options that are wrong: one line that names them, and no file under the final name."""

from __future__ import annotations

import resource
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

from clips import probe, run, write_clip

from featherface.errors import FeatherFaceError


def truncated_mkv(folder, images):
    data = write_clip(folder / "a.mkv", images * 4, sound=True).read_bytes()
    (folder / "cut.mkv").write_bytes(data[: len(data) // 2])
    return folder / "cut.mkv"


def truncated_mp4(folder, images):
    data = write_clip(folder / "a.mp4", images).read_bytes()
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    return folder / "cut.mp4"


def no_video(folder, images):
    return write_clip(folder / "sound.mp4", images, sound=True, sound_only=True)


def no_frames(folder, images):
    return _header_only(folder, images)


def _header_only(folder, images):
    data = write_clip(folder / "full.mkv", images[:2]).read_bytes()
    (folder / "none.mkv").write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # before the first cluster
    return folder / "none.mkv"


def text(folder, images):
    (folder / "text.mp4").write_text("not a video")
    return folder / "text.mp4"


def colours_of_no_use(folder, images):
    return write_clip(folder / "ycgco.mkv", images, colorspace=8)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (truncated_mkv, "truncated"),
        (truncated_mp4, "cannot be opened"),
        (no_video, "no video stream"),
        (no_frames, "no frames"),
        (text, "cannot be opened"),
        (
            colours_of_no_use,
            "its pictures (yuv420p, colour space 8 of ITU-T H.273) cannot be turned into RGB",
        ),
        (lambda folder, images: folder / "missing.mp4", "no such file"),
        (lambda folder, images: folder, "no pictures"),
        (lambda folder, images: 77, "camera 77: cannot be opened"),
        (lambda folder, images: "²", "no such file"),  # a digit to Python, but no number
        (lambda folder, images: "rtsp://127.0.0.1:1/x", "refused"),
    ],
)
def test_bad_inputs_leave_one_line_and_no_file(images, tmp_path, make, reason):
    source = make(tmp_path, images)
    save = tmp_path / "out" / "saved.mp4"
    result = run("video", source, "--save", save, "--json", tmp_path / "out" / "o.json", "-q")
    assert result.exit_code != 0 and isinstance(result.exception, FeatherFaceError), result.exception
    message = str(result.exception)
    assert reason in message and "\n" not in message and str(source) in message
    assert not save.parent.exists() or not list(save.parent.iterdir())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--save", "out.xyz"), "out.xyz"),
        (("--every", "0"), "every"),
        (("--model", "missing"), "missing"),
        (("--show",), "--show"),
        (("--save", "/proc/nowhere/out.mp4"), "cannot be written"),
        (("--json", "/proc/nowhere/o.json"), "cannot be written"),
    ],
)
def test_bad_options(clip, options, reason, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    result = run("video", clip, "-q", *options)
    assert result.exit_code != 0 and isinstance(result.exception, FeatherFaceError)
    assert reason in str(result.exception)
    assert "partial file" not in str(result.exception), "nothing was begun"


def test_the_input_is_not_overwritten(clip):
    before = clip.read_bytes()
    assert "never overwritten" in str(run("video", clip, "--save", clip, "-q").exception)
    assert clip.read_bytes() == before


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "save", "name"),
    [("video", "out.mp4", "out.mp4"), ("anonymise", "", "clip.mp4"), ("anonymise", "", "photo.jpg")],
    ids=["video", "anonymised video", "anonymised photo"],
)
def test_a_full_disk_is_named_and_the_partial_file_removed(clip, examples, tmp_path, command, save, name):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    source = clip
    if name == "photo.jpg":
        source = tmp_path.parent / f"{tmp_path.name}-{name}"
        source.write_bytes((examples / "eileen_collins.jpg").read_bytes())
        name = source.name
    done = subprocess.run(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
         "from featherface.cli import main; main()", command, str(source), "--save", str(tmp_path / save), "-q"],
        preexec_fn=little_room, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1 and f"{name}: cannot be written (" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and not list(tmp_path.iterdir())


@pytest.mark.long
def test_a_stream_that_goes_away_keeps_what_it_showed(images, tmp_path):
    data = write_clip(tmp_path / "live.ts", images * 3).read_bytes()
    server = socket.create_server(("127.0.0.1", 0))

    def send():
        connection, _ = server.accept()
        connection.sendall(data)
        time.sleep(3)  # A reset throws away what was not read yet.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    threading.Thread(target=send, daemon=True).start()
    result = run("video", f"tcp://127.0.0.1:{server.getsockname()[1]}", "--save", tmp_path / "o.mp4", "-q")
    assert isinstance(result.exception, FeatherFaceError) and "went away" in str(result.exception)
    assert len(probe(tmp_path / "o.mp4")[1]) > 0


def test_truncated_videos_among_others(clip, images, tmp_path):
    result = run("anonymise", truncated_mkv(tmp_path, images), clip, "--save", tmp_path / "out", "-q")
    assert result.exit_code == 1 and "truncated" in result.output
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["clip.mp4"]
