"""The figures in the pages are those of the cards and of the benchmarks' files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from featherface.zoo import list_models

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "write_numbers.py"


def test_no_page_is_stale():
    checked = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("card", list_models(), ids=lambda card: card.name)
def test_the_comparison_was_made_with_the_weights_that_ship(card):
    """New weights need a new run of benchmarks/peers.py, or the pages would contradict their own cards."""
    detectors = json.loads((ROOT / "docs" / "numbers" / "peers.json").read_text())["detectors"]
    (compared,) = [d for d in detectors if d["name"] == card.name]
    for subset, value in compared["ap"].items():
        assert value == pytest.approx(card.ap["original"][subset], abs=1e-3), subset
