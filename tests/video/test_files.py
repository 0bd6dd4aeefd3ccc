"""Files of `featherface video` and of videos through `featherface anonymise`: what a run that is full, fails or
is stopped leaves behind."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")


from clips import run, write_clip

from featherface.errors import FeatherFaceError, VideoError
from featherface.video import open_video, open_writer

COUNT = 10
MAIN = (
    "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from featherface.cli import main; main()"
)


@pytest.fixture(scope="module")
def long_clip(images, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mp4", images * 200)


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


@pytest.mark.long
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
