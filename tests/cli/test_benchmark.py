"""`featherface benchmark` from end to end, with few runs, and what it must refuse."""

from __future__ import annotations

import json

import onnx
import pytest

from featherface.benchmark.run import parse_picture_size, spread
from featherface.errors import ConfigError


@pytest.fixture
def stranger(tmp_path):
    """Somebody else's ONNX network, which only halves its picture."""
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, "h", "w"]) for name in "xy"
    ]
    half = onnx.helper.make_tensor("half", onnx.TensorProto.FLOAT, [], [0.5])
    node = onnx.helper.make_node("Mul", ["x", "half"], ["y"])
    graph = onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [half])
    opsets = [onnx.helper.make_opsetid("", 20)]
    path = tmp_path / "stranger.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def test_every_file_is_measured_and_a_broken_one_stops_nobody(run, stranger, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    outcome = run(
        "benchmark", "--models", f"v2,{broken},{stranger}", "--sizes", "64x96", "--threads", "1",
        "--repeats", 2, "--warm-up", 0, "--json", tmp_path / "b.json", "--picture", tmp_path / "b.svg",
    )  # fmt: skip
    assert outcome.code == 1
    about = json.loads((tmp_path / "b.json").read_text())
    ours, bad, theirs = about["results"]
    assert about["machine"]["cores"] >= 1
    assert ours["network_ms"]["runs"] == ours["whole_ms"]["runs"] == 2
    assert ours["whole_ms"]["best"] > 0 and ours["faces"] >= 0
    assert ours["cold_start_s"] > 0.05 and ours["peak_mb"] > 30 and 0.1 < ours["file_mb"] < 10
    assert bad["network_ms"] is None and bad["error"]
    assert theirs["network_ms"]["runs"] == 2 and theirs["whole_ms"] is None
    assert "<svg" in (tmp_path / "b.svg").read_text()
    assert [line.split()[0] for line in outcome.out.splitlines()[2:]] == [
        "v2",
        "broken.onnx",
        "stranger.onnx",
    ]


BAD = [
    pytest.param(["--sizes", "big"], "size 'big': expected 320, 640, vga", id="no size"),
    pytest.param(["--threads", "0"], "--threads '0'", id="no threads"),
    pytest.param(["--repeats", "1"], "at least 2 repeats", id="one repeat has no spread"),
    pytest.param(["--formats", "caffe"], "no format 'caffe'", id="unknown format"),
    pytest.param(["--formats", "onnx-int4"], "there are -fp16, -int8", id="unknown precision"),
    pytest.param(["--formats", "ncnn-bf16"], "only openvino computes in bf16", id="bf16 elsewhere"),
    pytest.param(["--formats", "onnx-int8"], "--calibration DIR", id="int8 without pictures"),
    pytest.param(["--models", "none.onnx"], "none.onnx: no such file", id="no model file"),
    pytest.param(["--photo", "none.jpg"], "none.jpg: no such file", id="no photo"),
    pytest.param(["--picture", "a.bmp"], "must end in .png or .svg", id="a picture of another kind"),
]


@pytest.mark.parametrize(("options", "reason"), BAD)
def test_what_cannot_be_measured_is_one_line(run, options, reason):
    outcome = run("benchmark", *options)
    assert outcome.code == 1
    assert reason in outcome.err.splitlines()[-1]


def test_spread_is_median_and_quartiles():
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (found.low, found.median, found.high, found.best, found.runs) == (2, 3, 4, 1, 5)
    assert spread([1.0]) is None


@pytest.mark.parametrize(("text", "size"), [("vga", (480, 640)), ("1080p", (1080, 1920)), ("7x9", (7, 9))])
def test_sizes_are_height_by_width(text, size):
    assert parse_picture_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "0x5", "5x", "-1x5"])
def test_sizes_that_are_none(text):
    with pytest.raises(ConfigError):
        parse_picture_size(text)
