"""What most tests of videos need: ten small frames that differ, and a clip of them."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def images():
    rows = np.arange(64)[:, None, None]
    return [np.broadcast_to(rows + 9 * i, (64, 96, 3)).astype(np.uint8) for i in range(10)]


@pytest.fixture(scope="module")
def clip(images, tmp_path_factory):
    from clips import write_clip  # which needs the extra video

    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", images)
