"""A tiny labelled set, made here, and recipes that train on it in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from featherface.export.onnx import export_onnx
from featherface.train.config import TrainConfig, load_config
from featherface.train.stage import run_stage

RECIPE = """
name = "tiny"
model = "nano_b"
output = "{folder}/runs"
batch_size = 2
steps = 6
max_lr = 1e-3
precision = "fp32"
threads = 1
checkpoint_minutes = 0
seed = 3
[data]
crop_size = 64
cache_dir = "{folder}/cache"
workers = 0
face_size = [8.0, 40.0]
sources = [{{ labels = "{folder}/label.txt" }}]
"""


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six noisy pictures of bright ovals, `label.txt` and `tiny.toml`."""
    folder = tmp_path_factory.mktemp("tiny set")
    rng = np.random.default_rng(0)
    lines = []
    for number in range(6):
        picture = rng.integers(0, 90, (120, 160, 3), np.uint8)
        lines.append(f"# {number}.png")
        for x, y in rng.integers((25, 25), (135, 95), (3, 2)):
            cv2.ellipse(picture, (int(x), int(y)), (9, 12), 0, 0, 360, (220, 190, 170), -1)
            points = " ".join(
                f"{x + dx} {y + dy} 0.0" for dx, dy in ((-4, -4), (4, -4), (0, 0), (-3, 5), (3, 5))
            )
            lines.append(f"{x - 9} {y - 12} 18 24 {points} 0.5")
        (folder / "images").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / "images" / f"{number}.png"), picture)
    (folder / "label.txt").write_text("\n".join(lines) + "\n")
    (folder / "tiny.toml").write_text(RECIPE.format(folder=folder))
    return folder


@pytest.fixture
def tiny(tiny_set: Path, tmp_path: Path) -> TrainConfig:
    """The recipe, writing into this test's own folder."""
    return load_config(tiny_set / "tiny.toml", [f'output="{tmp_path}"'])


def train(config, resume=False, validate=None, distilled=False, report=lambda _: None):
    """One stage from this recipe."""
    return run_stage(
        config,
        distilled=distilled,
        resume=resume,
        export=export_onnx,
        validate=validate,
        report=report,
    )
