"""The scripts of examples/, run on small data as somebody would who copied them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    shutil.copytree(ROOT / "examples", folder, ignore=shutil.ignore_patterns("*.py", "*.md"))
    return folder


def run(script, *arguments, cwd):
    command = [sys.executable, ROOT / "examples" / script, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def need(*packages):
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "found"),
    [
        pytest.param(["--at-least", "3"], {"contact_sheet.jpg"}, id="groups"),
        pytest.param(["--at-most", "1"], {"eileen_collins.jpg", "grace_hopper.jpg"}, id="portraits"),
        pytest.param(["--large", "0.3"], {"grace_hopper.jpg"}, id="close portraits"),
        pytest.param(["--at-most", "0"], set(), id="landscapes"),
    ],
)
def test_album_search(album, options, found):
    lines = run("album_search.py", album, *options, cwd=album.parent).splitlines()
    assert {Path(line.split("\t")[0]).name for line in lines} == found


def test_album_search_reads_only_what_changed(album):
    run("album_search.py", album, cwd=album.parent)
    shutil.copy(album / "grace_hopper.jpg", album / "new.jpg")
    (album / "bad.jpg").write_bytes(b"bad")
    out = run("album_search.py", album, cwd=album.parent)
    assert "new.jpg\t1 faces" in out
    assert "left out" in out and "bad.jpg" in out


@pytest.mark.long
def test_cluster_batch_on_this_machine(album):
    need("pyarrow", "fsspec", "ray")
    out = run("cluster_batch.py", "album", "faces", "--engine", "local", "--workers", 1, cwd=album.parent)
    assert "1 of 1 shards" in out
    assert "3 pictures, " in out and ", 0 errors" in out
    again = run("cluster_batch.py", "album", "faces", "--engine", "local", cwd=album.parent)
    assert again.splitlines()[-1] == out.splitlines()[-1]


@pytest.mark.parametrize(
    ("keep", "visible"),
    [
        pytest.param([], [False] * 5, id="all hidden"),
        pytest.param(["--keep", 0], [False, False, True, True, True], id="one kept, once it has a track"),
    ],
)
@pytest.mark.long
def test_video_anonymiser(album, keep, visible, is_visible):
    need("av", "trackers")
    import av

    with av.open(str(album / "clip.mp4"), "w") as clip:
        stream = clip.add_stream("mpeg4", rate=10, width=512, height=512)
        with av.open(str(album / "eileen_collins.jpg")) as photo:
            picture = next(photo.decode(video=0)).reformat(512, 512, "yuv420p").to_ndarray()
        for _ in range(5):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "yuv420p")))
        clip.mux(stream.encode(None))
    out = run("video_anonymiser.py", "album/clip.mp4", "hidden.mp4", *keep, cwd=album.parent)
    assert out == f"track 0\t0.1 to 0.4 s\t{'kept' if keep else 'hidden'}\n"
    from featherface import Detector

    shown = [frames_of(path) for path in (album / "clip.mp4", album.parent / "hidden.mp4")]
    (face,) = Detector().detect(shown[0][0]).boxes
    # Not by looking again: to the detector a face under large pixels may still be one.
    assert [is_visible(before, after, face) for before, after in zip(*shown, strict=True)] == visible


def frames_of(path):
    import av

    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]


@pytest.mark.slow
def test_finetune_own_data(album):
    need("torch", "onnx", "onnxscript")
    (album / "images").mkdir()
    shutil.copy(album / "grace_hopper.jpg", album / "images" / "1.jpg")
    (album / "label.txt").write_text("# 1.jpg\n176 117 178 216" + " -1 -1 -1" * 5 + "\n")
    options = ["--steps", 2, "--batch-size", 2, "--crop-size", 128, "--output", "own"]
    run("finetune_own_data.py", album / "label.txt", *options, cwd=album.parent)
    from featherface import Detector

    assert len(Detector(album.parent / "own" / "own.onnx").detect(album / "grace_hopper.jpg")) == 1


@pytest.mark.slow
def test_phone_export(album):
    need("torch", "onnx", "onnxscript")
    out = run("phone_export.py", "phone", "--formats", "onnx", "--size", "128x160", cwd=album.parent)
    assert "onnx: " in out
    assert list((album.parent / "phone").rglob("*.onnx"))
