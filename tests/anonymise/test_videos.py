"""What a video loses and keeps on its way through `featherface anonymise`, and what befalls those that change."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import av
import numpy as np
from clips import COVER, WORDS, add_streams, probe, run, write_clip

import featherface.video as video_module
from featherface.errors import ConfigError

OPTIONS = ("--every", "10", "-q")


@pytest.fixture(scope="module")
def images():
    rows = np.arange(64)[:, None, None]
    return [np.broadcast_to(rows + 9 * i, (64, 96, 3)).astype(np.uint8) for i in range(12)]


@pytest.fixture
def clip(images, tmp_path):
    return write_clip(tmp_path / "clip.mp4", images)


def longer(images, path):
    write_clip(path, images * 2)


def shorter(images, path):
    write_clip(path, images[:5])


def of_other_times(images, path):
    write_clip(path, images, rate=30)


@pytest.mark.parametrize("change", [longer, shorter, of_other_times, lambda _, path: path.unlink()])
def test_one_that_changes_between_the_passes_is_one_line_and_no_file(
    clip, images, tmp_path, monkeypatch, change
):
    """What was not looked at is never passed on; the other inputs are done."""
    shutil.copy(clip, tmp_path / "other.mp4")
    real, opened = video_module.open_video, []

    def open_video(name):
        if name == str(clip):
            opened.append(name)
            if len(opened) == 2:
                change(images, clip)
        return real(name)

    monkeypatch.setattr(video_module, "open_video", open_video)
    result = run("anonymise", clip, tmp_path / "other.mp4", "--save", tmp_path / "out", *OPTIONS)
    assert len(opened) == 2 and result.exit_code == 1
    assert len(result.output.splitlines()) == 1 and str(clip) in result.output, result.output
    assert ("changed while it was read" in result.output) is clip.exists()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["other.mp4"]


@pytest.mark.parametrize("option", ["--bridge", "--margin"])
@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_seconds_that_are_none_are_refused(clip, tmp_path, option, seconds):
    result = run("anonymise", clip, "--save", tmp_path / "out", option, seconds)
    assert result.exit_code == 1 and isinstance(result.exception, ConfigError)
    assert "--bridge and --margin seconds" in str(result.exception) and not (tmp_path / "out").exists()


def test_a_result_of_other_frames_cannot_be_checked(clip, images, tmp_path, monkeypatch):
    real = video_module.open_video

    def open_video(name):
        if name == str(tmp_path / "out" / "clip.mp4"):
            shorter(images, tmp_path / "out" / "clip.mp4")
        return real(name)

    monkeypatch.setattr(video_module, "open_video", open_video)
    result = run("anonymise", clip, "--save", tmp_path / "out", "--check", *OPTIONS)
    assert result.exit_code == 1 and "cannot be checked" in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("keep", [[], ["--keep-metadata"]], ids=["default", "kept metadata"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_covers_subtitles_data_and_attachments_never_reach_the_result(images, tmp_path, suffix, keep):
    film = write_clip(tmp_path / "film.mp4", images * 2, sound=True)
    source = add_streams(film, tmp_path / f"full{suffix}", words=True)
    with av.open(str(source)) as container:
        kinds = [stream.type for stream in container.streams]
    assert len(kinds) >= 4 and COVER in source.read_bytes() and WORDS in source.read_bytes()
    result = run("anonymise", source, "--save", tmp_path / "out", *OPTIONS, *keep)
    assert result.exit_code == 0, result.output
    target = tmp_path / "out" / f"full{suffix}"
    with av.open(str(target)) as container:
        assert sorted(stream.type for stream in container.streams) == ["audio", "video"]
    data = target.read_bytes()
    assert COVER not in data and WORDS not in data and b"\xff\xd8\xff" not in data
    assert len(probe(target)[1]) == len(images) * 2
