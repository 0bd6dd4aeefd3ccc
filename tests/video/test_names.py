"""What a video may be called, and that an original is known as one by whatever name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

from clips import run, write_clip

from featherface.addresses import local_path
from featherface.errors import VideoError
from featherface.video import is_live, open_video, source_files


@pytest.mark.parametrize(
    ("name", "path", "why"),
    [
        ("a.mp4", "a.mp4", "a name stays as it is"),
        ("rtsp://camera/1", "rtsp://camera/1", "and so does an address of a stream"),
        ("0", "0", "and a camera"),
        ("file:///tmp/a.mp4", "/tmp/a.mp4", "the usual form"),
        ("FILE:///tmp/a.mp4", "/tmp/a.mp4", "in capitals"),
        ("file://localhost/tmp/a.mp4", "/tmp/a.mp4", "this machine"),
        ("file:/tmp/a.mp4", "/tmp/a.mp4", "the short form"),
        ("file:a.mp4", "a.mp4", "as FFmpeg takes it"),
        ("file:///tmp/a%20b.mp4", "/tmp/a b.mp4", "a space"),
        ("file:///tmp/a#1?.mp4", "/tmp/a#1?.mp4", "signs that other addresses end at"),
        ("file://elsewhere/a.mp4", "file://elsewhere/a.mp4", "another machine's"),
        ("file:", "file:", "nothing"),
    ],
)  # fmt: skip
def test_local_path(name, path, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert local_path(name) == path, why


@pytest.mark.parametrize("name", ["100%25.mp4", "file:a.mp4"])
def test_a_file_that_is_really_called_so_is_meant(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"")
    wanted = name if name.startswith("file:") else str(tmp_path / name)
    assert local_path(name if name.startswith("file:") else f"file://{tmp_path}/{name}") == wanted


def test_a_file_by_its_url_is_that_file(tmp_path):
    """Turned as it says, whole at its end, and known as an original."""
    stored = np.zeros((64, 96, 3), np.uint8)
    path = write_clip(tmp_path / "a b.mp4", [stored] * 5, rotation=90)
    url = path.as_uri()
    assert url.startswith("file:///") and "%20" in url
    assert not is_live(url) and source_files(url) == [path]
    with open_video(url) as reader:
        assert (reader.source.rotation, reader.source.live, reader.source.frames) == (90, False, 5)
        assert [frame.image.shape for frame in reader.frames()] == [(96, 64, 3)] * 5
    before = path.read_bytes()
    for arguments in (["video", url, "--save", path], ["anonymise", url, "--save", tmp_path, "--overwrite"]):
        result = run(*arguments, "-q")
        assert result.exit_code != 0 and "never overwritten" in f"{result.output}{result.exception}"
        assert path.read_bytes() == before


def test_a_photo_by_its_url_is_no_less_an_original(examples, tmp_path):
    photo = shutil.copy(examples / "eileen_collins.jpg", tmp_path / "a b.jpg")
    before = photo.read_bytes()
    result = run("anonymise", photo.as_uri(), "--save", tmp_path, "--overwrite", "-q")
    assert result.exit_code == 1 and "never overwritten" in result.output and photo.read_bytes() == before


def test_a_missing_file_is_named(tmp_path):
    with (
        pytest.raises(VideoError, match=r"missing\.mp4: cannot be opened"),
        open_video(f"file://{tmp_path}/missing.mp4"),
    ):
        pass


def test_a_stream_is_not_anonymised(tmp_path):
    """What its second pass shows is not what the first has seen."""
    result = run("anonymise", "rtsp://127.0.0.1:1/x.mp4", "--save", tmp_path, "-q")
    assert result.exit_code == 1 and "save it to a file first" in result.output
    assert len(result.output.splitlines()) == 1 and not list(tmp_path.iterdir())
