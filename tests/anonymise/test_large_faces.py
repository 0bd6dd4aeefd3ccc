"""Faces larger than any prior, in frames from good cameras: hidden whole, and seen by the check when they are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

from clips import probe, write_clip

from featherface import Detector
from featherface.anonymise import check
from featherface.boxes import iou_matrix
from featherface.cli.app import build_app

BOXES = {"eileen_collins.jpg": (180, 60, 272, 178), "grace_hopper.jpg": (176, 117, 354, 333)}


def enlarged(examples, name, width, height, side):
    """A frame with the sample's face in the middle, `side` pixels high, and its box."""
    image, box = cv2.imread(str(examples / name), cv2.IMREAD_COLOR_RGB), np.array(BOXES[name], float)
    scale, middle = side / (box[3] - box[1]), np.array([width, height]) / 2
    shift = middle - (box[:2] + box[2:]) / 2 * scale
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    frame = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return frame, (box * scale + np.tile(shift, 2)).astype(np.float32)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "width", "height", "side"),
    [
        ("grace_hopper.jpg", 1920, 1080, 972),
        ("eileen_collins.jpg", 3840, 2160, 1944),
    ],
)
def test_a_large_face_in_a_video_is_hidden_whole(examples, tmp_path, name, width, height, side):
    frame, box = enlarged(examples, name, width, height, side)
    clip = write_clip(tmp_path / "clip.mp4", [frame])
    options = ["--save", str(tmp_path / "out"), "--method", "solid", "--colour", "00ff00", "-q"]
    assert CliRunner().invoke(build_app(), ["anonymise", str(clip), *options]).exit_code == 0
    after = probe(tmp_path / "out" / "clip.mp4")[1][0]
    face = np.zeros((height, width), np.uint8)
    middle, sides = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    cv2.ellipse(face, (middle.tolist(), sides.tolist(), 0.0), 1, -1)
    green = np.abs(after.astype(int) - (0, 255, 0)).max(axis=2) < 60
    assert green[face > 0].mean() > 0.99


@pytest.mark.long
def test_the_check_sees_a_large_face_whole(examples):
    frame, box = enlarged(examples, "eileen_collins.jpg", 3840, 2160, 1944)
    seen = check(Detector(score_threshold=0.2), frame, np.zeros((0, 4), np.float32))
    assert iou_matrix(seen.visible.boxes, box[None]).max() > 0.7
