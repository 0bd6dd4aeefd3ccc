"""Streams that change the size of their pictures midway, as a broadcast or a call does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

from clips import portraits, probe, write_clip

from featherface.boxes import iou_matrix
from featherface.cli.app import build_app
from featherface.video import open_video
from featherface.video.upright import fitted

COUNT = 5


@pytest.fixture(scope="module")
def parts(examples):
    """Five frames of one size, five of another."""
    return portraits(examples, COUNT), portraits(examples, COUNT, width=480, height=640)


@pytest.fixture(scope="module")
def joined(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joined")
    data = b""
    for number, part in enumerate(parts):
        times = [(number * COUNT + i) / 25 for i in range(COUNT)]
        images = [frame.image for frame in part]
        data += write_clip(folder / f"{number}.ts", images, times=times).read_bytes()
    (folder / "joined.ts").write_bytes(data)
    return folder / "joined.ts"


def test_later_frames_are_brought_to_the_first_ones_size(joined, parts):
    with open_video(str(joined)) as reader:
        frames = list(reader.frames())
    assert [frame.image.shape for frame in frames] == [(240, 320, 3)] * 2 * COUNT
    assert [frame.decoded is not None for frame in frames] == [True] * COUNT + [False] * COUNT
    for frame, truth in zip(frames, [*parts[0], *parts[1]], strict=True):
        expected = truth.image if frame.index < COUNT else fitted(truth.image, 320, 240)
        assert np.abs(frame.image.astype(int) - expected).mean() < 8


def test_boxes_and_pictures_of_the_result_belong_together(joined, parts, tmp_path):
    options = ["--save", str(tmp_path / "o.mp4"), "--json", str(tmp_path / "o.json"), "-q"]
    assert CliRunner().invoke(build_app(), ["video", str(joined), *options]).exit_code == 0
    about, shown = probe(tmp_path / "o.mp4")
    assert about["size"] == (320, 240) and len(shown) == 2 * COUNT
    scale, left = 240 / 640, (320 - 180) // 2
    assert shown[-1][:, : left - 4].max() < 40 and shown[-1][:, left + 184 :].max() < 40, "black beside it"
    frames = json.loads((tmp_path / "o.json").read_text())["frames"]
    for frame, truth in zip(frames[COUNT:], parts[1], strict=True):
        wanted = truth.boxes * scale + np.float32([left, 0, left, 0])
        found = np.float32([face["box"] for face in frame["faces"]]).reshape(-1, 4)
        assert iou_matrix(found, wanted).max() > 0.5


def test_every_face_of_both_sizes_is_hidden(joined, parts, tmp_path):
    options = ["--save", str(tmp_path), "--method", "solid", "--colour", "00ff00", "--shape", "box", "-q"]
    assert CliRunner().invoke(build_app(), ["anonymise", str(joined), *options]).exit_code == 0
    _, shown = probe(tmp_path / "joined.ts")
    scale, left = 240 / 640, (320 - 180) // 2
    truths = [t.boxes for t in parts[0]] + [
        t.boxes * scale + np.float32([left, 0, left, 0]) for t in parts[1]
    ]
    for image, boxes in zip(shown, truths, strict=True):
        for x1, y1, x2, y2 in boxes.astype(int):
            green = np.abs(image[y1:y2, x1:x2].astype(int) - (0, 255, 0)).max(axis=2) < 60
            assert green.mean() > 0.9


@pytest.mark.parametrize(
    ("size", "inside", "why"),
    [
        ((640, 480), (0, 240, 70, 250), "a tall picture has black at both sides"),
        ((240, 640), (60, 180, 0, 320), "a wide one above and below"),
        ((480, 640), (0, 240, 0, 320), "one of the same shape fills it"),
        ((60, 80), (0, 240, 0, 320), "a small one is enlarged"),
        ((1, 900), (119, 120, 0, 320), "at least one row is left"),
    ],
)
def test_fitted(size, inside, why):
    whole = fitted(np.full((*size, 3), 200, np.uint8), 320, 240)
    top, bottom, left, right = inside
    expected = np.zeros((240, 320, 3), np.uint8)
    expected[top:bottom, left:right] = 200
    np.testing.assert_array_equal(whole, expected, why)
