"""Detectors side by side: sizes counted right, latency in turns, the peers decoded as their authors do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from featherface.boxes import iou_matrix
from featherface.cli.app import build_app
from featherface.errors import ConfigError, ModelError
from featherface.evaluate.compare import square, time_in_turns
from featherface.evaluate.compare_report import pareto
from featherface.evaluate.onnx_size import onnx_size
from featherface.model import build, preset
from featherface.model.fold import folded
from featherface.model.summary import summarise
from featherface.zoo import find_model

ROOT = Path(__file__).resolve().parents[2]
SUBSETS = ("easy", "medium", "hard")


def test_multiply_adds_are_those_of_the_torch_network():
    """The file has the convs that the summary counts, and the few 1x1 ones that the export adds."""
    _, operations = onnx_size(Path(find_model("v2")))
    counted = sum(part.multiply_adds for part in summarise(folded(build(preset("v2")))))
    assert counted <= operations < 1.1 * counted


def test_sizes_by_hand(tmp_path):
    weight = helper.make_tensor("w", TensorProto.FLOAT, [8, 3, 3, 3], [0.0] * 216)
    bias = helper.make_tensor("b", TensorProto.FLOAT, [8], [0.0] * 8)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 64, 64])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 32, 32])
    graph = helper.make_graph([node], "g", [x], [y], [weight, bias])
    file = tmp_path / "conv.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), file)
    assert onnx_size(file) == (224, 8 * 27 * 320 * 320), "at 640x640, though the file says 64x64"


def test_a_file_that_is_no_network_is_named(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"no\.onnx: not an ONNX model"):
        onnx_size(tmp_path / "no.onnx")


def test_functions_take_turns():
    calls = []
    spreads = time_in_turns([lambda: calls.append("a"), lambda: calls.append("b")], 6)
    assert "".join(calls) == "aaabbb" + "aaabbb" * 2, "warm-up, then three of each in turn"
    assert all(spread.low <= spread.median <= spread.high for spread in spreads)


@pytest.mark.parametrize("name", ["grace_hopper.jpg", "contact_sheet.jpg"])
def test_a_photo_for_latency_is_square(name, examples):
    assert square(examples / name).shape == (640, 640, 3)


@pytest.mark.shared
def test_the_command_compares_and_draws(shared, tmp_path):
    other = tmp_path / "again.onnx"
    other.write_bytes(Path(find_model("v2")).read_bytes())
    arguments = [
        "compare",
        "--models",
        f"v2,{other}",
        "--data",
        str(shared / "data" / "widerface"),
        "--limit",
        "3",
    ]
    arguments += ["--repeats", "3", "--json", str(tmp_path / "c.json"), "--picture", str(tmp_path / "c.svg")]
    result = CliRunner().invoke(build_app(), arguments)
    assert result.exit_code == 0, result.output
    ours, again = json.loads((tmp_path / "c.json").read_text())["detectors"]
    assert (ours["name"], again["name"]) == ("v2", "again")
    assert ours["ap"] == again["ap"] and ours["multiply_adds"] == again["multiply_adds"]
    assert ours["parameters"] > again["parameters"], "the card counts batch norm, the file has it folded in"
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--models", ","], "at least one model", id="no models"),
        pytest.param(["--models", "v2", "--repeats", "1"], "three repeats", id="nothing to take a median of"),
        pytest.param(["--models", "none.onnx"], "none.onnx", id="a missing file"),
    ],
)
def test_what_cannot_be_compared_is_said(options, says, tmp_path):
    result = CliRunner().invoke(build_app(), ["compare", "--data", str(tmp_path), *options])
    assert result.exit_code == 1 and says in str(result.exception)
    assert isinstance(result.exception, ConfigError | ModelError)


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


@pytest.mark.parametrize(
    ("points", "front"),
    [
        pytest.param([(1.0, 0.5)], [(1.0, 0.5)], id="one is its own front"),
        pytest.param([(2.0, 0.9), (1.0, 0.5)], [(1.0, 0.5), (2.0, 0.9)], id="slower and better stays"),
        pytest.param([(1.0, 0.9), (2.0, 0.5)], [(1.0, 0.9)], id="slower and worse goes"),
        pytest.param([(1.0, 0.5), (1.0, 0.9)], [(1.0, 0.9)], id="of two equally fast the better stays"),
    ],
)
def test_the_front_holds_what_nothing_beats_in_both(points, front):
    assert pareto(points) == front
