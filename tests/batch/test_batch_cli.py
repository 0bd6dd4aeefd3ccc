"""The command itself, in processes: the same faces as `featherface detect`, and one line for what goes wrong."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from featherface.zoo import find_model

COUNT = 24


def run(*arguments, timeout=300, **options):
    code = "from featherface.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        **options,
    )


@pytest.mark.parametrize("engine", ["local", "ray"])
@pytest.mark.long
def test_the_same_faces_as_detect(rows, photos, tmp_path, engine):
    told = compare_with_detect(photos, tmp_path, engine, rows)
    assert "faces in 24 pictures, all could be read; 3 files" in told


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_the_same_faces_as_detect_on_wider_face(rows, shared, tmp_path, engine):
    """All 400 validation pictures: crowds, where suppression has the most to decide."""
    told = compare_with_detect(shared / "data" / "widerface" / "val" / "images", tmp_path, engine, rows)
    assert "faces in 400 pictures, all could be read" in told


def compare_with_detect(photos, folder, engine, rows) -> str:
    """Every face of `featherface detect --json`, once; what the batch command said."""
    if engine == "ray":
        pytest.importorskip("ray", reason="the ray extra is not installed")
    done = run("batch", photos, "--output", folder / "out", "--engine", engine, "--workers", 2, timeout=1800)
    assert done.returncode == 0, done.stderr
    detected = run("detect", photos, "--json", folder / "faces.json", "-q", timeout=1800)
    assert detected.returncode == 0, detected.stderr
    expected = {i["path"]: i["faces"] for i in json.loads((folder / "faces.json").read_text())["images"]}
    found = {row["path"]: row for row in rows(folder / "out")}
    assert found.keys() == expected.keys()
    assert sum(map(len, expected.values())) >= len(expected)
    for path, row in found.items():
        same_faces(row, expected[path], path)
    return done.stdout


def same_faces(row, faces, path) -> None:
    """Up to the JSON's two decimals of a pixel and five of a score; equal scores may change places."""
    ours = np.array(row["boxes"]).reshape(-1, 4)
    theirs = np.array([face["box"] for face in faces]).reshape(-1, 4)
    assert len(ours) == len(theirs), path
    if not len(ours):
        return
    pair = np.abs(ours[:, None] - theirs[None]).max(2).argmin(1)
    assert sorted(pair) == list(range(len(theirs))), path
    for name, key, near in (
        ("boxes", "box", 0.02),
        ("scores", "score", 1e-4),
        ("landmarks", "landmarks", 0.02),
    ):
        wanted = np.array([faces[i][key] for i in pair])
        np.testing.assert_allclose(np.array(row[name]), wanted, rtol=0, atol=near, err_msg=f"{path}: {name}")


@pytest.mark.long
def test_a_picture_that_ends_its_process_is_a_row(rows, some_photos, tmp_path):
    """Stands for a decoder that crashes: sitecustomize makes one size of picture deadly in every process."""
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    poison = some_photos / "a" / "poison.jpg"
    poison.write_bytes(b"poison")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run("batch", some_photos, "--output", tmp_path / "out", "--workers", 2, env=environment)
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "out")
    assert len(found) == COUNT + 1
    (error,) = [row["error"] for row in found if row["error"]]
    assert error == f"{poison}: ended two processes that looked at it"


DEADLY = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "featherface.batch.work":
            sys.meta_path.remove(self)
            import featherface.images as images
            real = images.decode_image
            images.decode_image = lambda data, name: os.kill(os.getpid(), 9) if data == b"poison" else real(data, name)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--engine", "spark"], "local or ray", id="no such engine"),
        pytest.param(["--workers", "0"], "--workers 0", id="no workers"),
        pytest.param(["--address", "head:6379"], "--engine ray", id="an address for the local engine"),
        pytest.param(["--gpus-per-worker", "1"], "--engine ray", id="GPUs for the local engine"),
        pytest.param(["--scales", "big"], "--scales", id="scales that are no numbers"),
        pytest.param(["--model", "nobody"], "nobody", id="no such model"),
    ],
)
def test_bad_options_are_one_line(photos, tmp_path, options, says):
    one_line(run("batch", photos, "--output", tmp_path / "out", *options), says)
    assert not (tmp_path / "out").exists()


def one_line(done, says):
    assert done.returncode == 1
    assert says in done.stderr
    assert re.fullmatch(r"featherface: error: [^\n]+\n", done.stderr), done.stderr


@pytest.mark.long
def test_a_source_of_which_nothing_can_be_read_fails(rows, tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(3):
        (tmp_path / "photos" / f"{i}.jpg").write_bytes(b"no")
    one_line(run("batch", tmp_path / "photos", "--output", tmp_path / "out", "-q"), "none of the 3 pictures")
    assert len(rows(tmp_path / "out")) == 3


@pytest.mark.long
def test_a_full_disk_is_one_line_and_the_next_run_goes_on(photos, tmp_path, rows):
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no right to mount a small disk in a namespace of its own")
    code = "from featherface.cli import main; main()"
    # --crops makes parts of about 100 KB: beside the model some fit on the small disk, the rest does not.
    size = find_model("v2").stat().st_size // 1024 + 300
    command = (
        f"{sys.executable} -c '{code}' batch {photos} --output disk/out --workers 2 --shard-size 4 --crops -q"
    )
    (tmp_path / "disk").mkdir()
    script = f"""
        mount -t tmpfs -o size={size}k tmpfs disk
        {command} 2> first.txt; echo $? >> first.txt
        ls disk/out > parts.txt
        mount -o remount,size=64m disk
        {command} 2> second.txt; echo $? >> second.txt
        cp -r disk/out out
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=tmp_path, capture_output=True, timeout=300
    )
    first = (tmp_path / "first.txt").read_text()
    assert re.fullmatch(r"featherface: error: \S+: no space left on device\n1\n", first), first + str(
        done.stderr
    )
    done_first = re.findall(r"^part-\d+", (tmp_path / "parts.txt").read_text(), re.M)
    assert 0 < len(done_first) < 6
    assert (tmp_path / "second.txt").read_text() == "0\n"
    found = rows(tmp_path / "out")
    assert len(found) == COUNT and not any(row["error"] for row in found)


@pytest.mark.long
def test_an_unreachable_cluster_is_one_line(photos, tmp_path):
    pytest.importorskip("ray", reason="the ray extra is not installed")
    options = ["--engine", "ray", "--address", "127.0.0.1:1", "--output", tmp_path / "out"]
    one_line(run("batch", photos, *options), "127.0.0.1:1: connection refused")


def test_a_missing_extra_is_named(photos, tmp_path):
    Path(tmp_path, "sitecustomize.py").write_text("import sys; sys.modules['ray'] = None\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = run("batch", photos, "--output", tmp_path / "out", "--engine", "ray", env=environment)
    one_line(done, "featherface[ray]")


@pytest.mark.long
def test_a_terminal_sees_shards_go_by_and_a_pipe_does_not(photos, tmp_path):
    """The bar goes to standard error, so that what is asked for can still be piped."""
    controller, terminal = pty.openpty()
    code = "from featherface.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "batch",
        str(photos),
        "--output",
        str(tmp_path / "out"),
        "--shard-size=4",
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, text=True, timeout=300)
    os.close(terminal)
    seen = b""
    with suppress(OSError):  # Linux's way to say that the other end is closed
        while piece := os.read(controller, 1 << 16):
            seen += piece
    os.close(controller)
    assert done.returncode == 0 and "faces in 24 pictures" in done.stdout
    assert b"shards" in seen and b"6/6" in seen, seen
    again = run("batch", photos, "--output", tmp_path / "out", "--shard-size", 4)
    assert again.stderr == "" and "6 of them there before" in again.stdout
