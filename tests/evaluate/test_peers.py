"""The benchmark of other detectors: each decoded as its authors do, its options checked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from featherface.boxes import iou_matrix

ROOT = Path(__file__).resolve().parents[2]


def peers(monkeypatch, *options):
    """What `benchmarks/peers.py` says at its end."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import peers as script

    monkeypatch.setattr(sys, "argv", ["peers.py", "--data", "nowhere", *map(str, options)])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    return str(stopped.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(
            ["--only", "nosuch"], "--only nosuch: no such peer; there are yunet_n", id="no such peer"
        ),
        pytest.param(["--models", "", "--only", ""], "nothing to compare", id="no detectors"),
        pytest.param(["--repeats", "2"], "at least three", id="nothing to take a median of"),
        pytest.param(["--check", "--models", "v2", "--only", ""], "nothing to check", id="checking no peers"),
        pytest.param(["--check", "--only", "eresfd"], "nothing to check", id="checking an unknown one"),
        pytest.param(["--check", "--limit", "9"], "of all pictures", id="checking some pictures"),
        pytest.param(["--only", "eresfd", "--models", ""], "eresfd.onnx: no such file", id="no file"),
        pytest.param(["--picture", "a.bmp2"], "written as", id="a picture that cannot be drawn"),
    ],
)
def test_peers_that_cannot_be_compared_are_said(monkeypatch, tmp_path, options, says):
    (tmp_path / "expected.json").write_text('{"yunet_n": {"hard": 0.8}}')
    assert says in peers(monkeypatch, "--peers", tmp_path, *options)


@pytest.mark.shared
def test_the_benchmark_says_how_it_measured(monkeypatch, capsys, shared, tmp_path):
    options = ("--peers", shared / "peers", "--data", shared / "data" / "widerface", "--only", "yunet_s")
    options += ("--models", "", "--limit", 2, "--repeats", 3, "--json", tmp_path / "p.json")
    assert peers(monkeypatch, *options) == "0"
    facts = json.loads((tmp_path / "p.json").read_text())
    assert (facts["protocol"], facts["repeats"]) == ("original", 3)
    assert facts["score_thresholds"] == {"ap": 0.02, "latency": 0.5}
    assert "2/2" in capsys.readouterr().err, "the progress bar comes to its end"


@pytest.mark.shared
@pytest.mark.slow
def test_the_peers_have_the_ap_that_an_independent_script_measured(shared):
    """All seven on all 400 pictures."""
    command = [
        sys.executable,
        "benchmarks/peers.py",
        "--peers",
        str(shared / "peers"),
        "--models",
        "",
        "--check",
    ]
    command += ["--data", str(shared / "data" / "widerface"), "--repeats", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.shared
@pytest.mark.parametrize("name", ["yunet_n", "scrfd_500m", "ulfd_rfb640", "yolov5n05_face", "eresfd"])
def test_a_peer_finds_the_face_of_a_portrait(name, shared, portrait, monkeypatch):
    """A fast look at what the slow test proves."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from peer_models import candidate

    found = candidate(name, shared / "peers").detect(portrait, 0.02)
    assert found.scores[0] > 0.5
    face = np.array([[178, 60, 271, 177]], np.float32)  # from hairline to chin, as one sees it
    assert iou_matrix(found.boxes[:1], face)[0, 0] > 0.75
