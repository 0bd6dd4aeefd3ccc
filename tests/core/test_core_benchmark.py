"""`benchmarks/core.py` measures how time grows with faces on pictures whose faces are found."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from featherface import Detector

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def core():
    spec = importlib.util.spec_from_file_location("core_benchmark", ROOT / "benchmarks" / "core.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_portrait_is_found(core):
    detector = Detector("v2", threads=1)
    assert [len(detector.detect(core.full_of_faces(grid))) for grid in core.GRIDS] == [
        g * g for g in core.GRIDS
    ]


def test_portraits_that_are_not_found_are_not_measured(core):
    class Blind:
        def detect(self, picture):
            return []

        session = type(
            "Session", (), {"spec": type("Spec", (), {"pad_multiple": 32}), "run": staticmethod(len)}
        )

    with pytest.raises(AssertionError, match="no face found among 1 portraits"):
        core.growth(Blind(), 1)
