"""`benchmarks/graph.py` counts the multiply-adds of float and int8 convs alike."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="the extra train is not installed")

ROOT = Path(__file__).resolve().parents[2]
FLOAT, INT8 = {"float": [16, 8, 3, 3]}, {"int8": [16, 8, 3, 3]}
SCALE, ZERO = {"float": []}, {"uint8": []}
BYTES = {"uint8": [1, 8, 10, 12]}
ALL = 16 * 8 * 9 * 10 * 12


@pytest.mark.parametrize(
    ("operator", "inputs", "made", "expected"),
    [
        pytest.param("Conv", [{"float": [1, 8, 10, 12]}, FLOAT], [1, 16, 10, 12], ALL, id="float"),
        pytest.param("QLinearConv", [BYTES, SCALE, ZERO, INT8], [1, 16, 10, 12], ALL, id="int8"),
        pytest.param("QLinearConv", [BYTES, SCALE, ZERO, INT8], [1, 10, 12, 16], ALL, id="channels last"),
        pytest.param("ConvInteger", [BYTES, INT8, ZERO], [1, 16, 10, 12], ALL, id="dynamic int8"),
        pytest.param("Add", [BYTES, BYTES], [1, 8, 10, 12], 0, id="no conv"),
    ],
)
def test_multiply_adds(operator, inputs, made, expected):
    spec = importlib.util.spec_from_file_location("graph", ROOT / "benchmarks" / "graph.py")
    graph = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(graph)
    assert graph.multiply_adds(operator, inputs, [{"any": made}]) == expected
