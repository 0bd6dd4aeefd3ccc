"""The drawings of docs/how-it-works.md can be made again, and are those of the shipped model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the train extra is not installed")

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"


@pytest.mark.slow
def test_the_drawings_are_those_of_the_shipped_model(tmp_path):
    script = ROOT / "scripts" / "draw_docs.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    drawn = sorted(tmp_path.iterdir())
    assert {path.name for path in drawn} >= {"priors.jpg", "decode.jpg", "nms.jpg", "attention.jpg"}
    for path in drawn:
        if path.suffix == ".svg":
            assert path.read_text() == (IMAGES / path.name).read_text(), path.name
            continue
        new, kept = (cv2.imread(str(folder / path.name)).astype(int) for folder in (tmp_path, IMAGES))
        # JPEG and the runtime round a little otherwise on other machines; another model moves whole lines.
        assert new.shape == kept.shape and np.abs(new - kept).mean() < 1, path.name
