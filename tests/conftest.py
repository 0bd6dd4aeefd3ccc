"""What all tests share: where things lie, and skips that say why."""

from __future__ import annotations

import os
from pathlib import Path

# The tests run in two processes side by side; threads of one that wait for the other's would only spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FEATHERFACE_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with WIDER FACE and the published weights, which are not part of the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: WIDER FACE and the published weights do not ship with the code")
    return SHARED


@pytest.fixture(scope="session")
def examples() -> Path:
    """The sample pictures."""
    return ROOT / "examples"


@pytest.fixture(scope="session")
def portrait(examples: Path) -> NDArray[np.uint8]:
    """A picture with one face, RGB."""
    return np.asarray(cv2.imread(str(examples / "eileen_collins.jpg"), cv2.IMREAD_COLOR_RGB), np.uint8)


@pytest.fixture
def is_visible(monkeypatch):
    """Whether the face in a box is still to be seen after hiding, as the benchmark measures it."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "benchmarks"))
    from anonymise import is_visible

    return is_visible
