"""The ONNX file says what torch says, at any size and batch."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from featherface.errors import ModelError
from featherface.export.deploy import Deployed
from featherface.export.onnx import describe, export_onnx
from featherface.model import ModelConfig, build, preset
from featherface.model.weights import load_weights
from featherface.runtime import OnnxSession
from featherface.zoo import WEIGHTS

SMALL = ModelConfig(
    name="small",
    width=8,
    neck_cells=1,
    backbone_attention="none",
    neck_attention="none",
    context="deformable",
    shuffle="channel",
    backbone_widths=((4, 4, 4, 4, 8, 8), (8,), (8,)),
)


def test_the_shipped_onnx_agrees_with_the_shipped_weights(portrait):
    session, model = OnnxSession(WEIGHTS / "v2.onnx"), load_weights(WEIGHTS / "v2.safetensors")
    images = portrait[:256, :320].transpose(2, 0, 1)[None].astype(np.float32)
    scores, boxes, landmarks = session.run(images)
    with torch.no_grad():
        bgr = torch.from_numpy(images).flip(1) - torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1)
        expected = model(bgr)
    assert np.abs(scores - expected.class_logits.softmax(-1)[..., 1].numpy()).max() < 1e-4
    assert np.abs(boxes - expected.box_deltas.numpy()).max() < 1e-4 * 10
    assert np.abs(landmarks - expected.landmark_deltas.numpy()).max() < 1e-4 * 10


def test_values_inside_get_names_of_their_own_that_are_short():
    """`a`, the first short one, is taken by an input here."""
    count = 3000
    nodes = [
        onnx.helper.make_node("Relu", [f"value_{i}" if i else "a"], [f"value_{i + 1}"]) for i in range(count)
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1])
        for name in ("a", f"value_{count}")
    ]
    graph = onnx.helper.make_model(onnx.helper.make_graph(nodes, "chain", ends[:1], ends[1:]))
    describe(graph, build(SMALL), "chain")
    onnx.checker.check_model(graph)
    inside = [node.output[0] for node in graph.graph.node[:-1]]
    assert len({"a", *inside}) == count and all(name.isidentifier() for name in inside)
    assert [len(name) for name in inside] == sorted(len(name) for name in inside) and len(inside[-1]) == 2
    assert graph.graph.node[0].input[0] == "a" and graph.graph.node[-1].output[0] == f"value_{count}"


@pytest.mark.long
def test_a_deformable_network_exports_with_its_layout(tmp_path):
    torch.manual_seed(0)
    model = build(SMALL).eval()
    torch.nn.init.normal_(model.context[0].conv3[0].offset_conv.weight, 0, 0.05)
    assert export_onnx(model, tmp_path / "small.onnx") < 1e-4
    session = OnnxSession(tmp_path / "small.onnx")
    assert session.spec.name == "small" and session.spec.prior_sizes == SMALL.prior_sizes
    scores, boxes, landmarks = session.run(np.zeros((3, 3, 96, 32), np.float32))
    assert scores.shape[0] == 3 and boxes.shape[1:] == (scores.shape[1], 4) and landmarks.shape[2] == 10


@pytest.mark.long
@pytest.mark.parametrize(
    ("bias", "says"),
    [
        pytest.param(1e4, None, id="large outputs round off more: no drift"),
        pytest.param(float("nan"), "differs from torch by nan", id="not a number"),
    ],
)
def test_the_drift_of_a_graph_is_relative_to_what_it_puts_out(tmp_path, bias, says):
    torch.manual_seed(0)
    model = build(dataclasses.replace(SMALL, context="plain")).eval()
    for head in model.heads:
        torch.nn.init.normal_(head.boxes.weight, 0, 1e3)
        torch.nn.init.constant_(head.boxes.bias, bias)
    refused = pytest.raises(ModelError, match=says) if says else contextlib.nullcontext()
    with refused:
        assert export_onnx(model, tmp_path / "large.onnx") < 1e-4
    assert (tmp_path / "large.onnx").exists() == (says is None)


@pytest.mark.long
@pytest.mark.parametrize(
    ("roundings", "says"),
    [
        pytest.param(10, None, id="no more than float32 rounds off"),
        pytest.param(0.01, "differs from torch by", id="more than that"),
    ],
)
def test_a_drift_over_the_limit_is_measured_against_float32_itself(tmp_path, monkeypatch, roundings, says):
    monkeypatch.setattr("featherface.export.onnx._PARITY", 0.0)
    monkeypatch.setattr("featherface.export.onnx._ROUNDINGS", roundings)
    torch.manual_seed(0)
    model = build(dataclasses.replace(SMALL, context="plain")).eval()
    for head in model.heads:
        torch.nn.init.normal_(head.classes.weight, 0, 1e4)
    with pytest.raises(ModelError, match=says) if says else contextlib.nullcontext():
        export_onnx(model, tmp_path / "loud.onnx")
    assert (tmp_path / "loud.onnx").exists() == (says is None)


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 64, 160)])
def test_the_shipped_onnx_takes_any_multiple_of_32(shape):
    scores, _, _ = OnnxSession(WEIGHTS / "v2.onnx").run(np.zeros(shape, np.float32))
    assert scores.shape == (shape[0], 2 * sum(shape[2] * shape[3] // s**2 for s in (8, 16, 32)))


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        pytest.param([1.0, 1.0, 1.0], "fresh", id="equal fusion weights"),
        pytest.param([0.2, 1.5, 0.7], "each map carries its factor, later uses undo it", id="unequal"),
        pytest.param([-1.0, 1.0, 0.5], "a map that is switched off cannot carry a factor", id="one is zero"),
    ],
)
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        pytest.param("v2", {}, id="v2"),
        pytest.param("nano_b", {}, id="nano_b"),
        pytest.param("v2", {"refine_p3": True}, id="a block on P3, part of which goes into the head"),
        pytest.param(
            "nano_b",
            {"backbone_widths": ((8, 16, 32, 32, 64, 62), (64, 61), (96, 50))},
            id="gated maps of channels that cannot be quartered",
        ),
    ],
)
def test_the_deployed_arrangement_computes_the_same(name, changes, weights, reason):
    torch.manual_seed(0)
    model = build(dataclasses.replace(preset(name), **changes)).eval()
    for key, parameter in model.named_parameters():
        if key.endswith("_weights"):
            parameter.data = torch.tensor(weights[: len(parameter)])
        elif key.endswith("bias"):
            torch.nn.init.normal_(parameter, 0, 0.1)
    images = torch.rand(2, 3, 96, 64) * 255
    with torch.no_grad():
        expected = model(images.flip(1) - torch.tensor([104.0, 117.0, 123.0]).view(1, 3, 1, 1))
        scores, boxes, landmarks = Deployed(model).eval()(images)
    assert (scores - expected.class_logits.softmax(-1)[..., 1]).abs().max() < 1e-5, reason
    assert (boxes - expected.box_deltas).abs().max() < 1e-4, reason
    assert (landmarks - expected.landmark_deltas).abs().max() < 1e-4, reason


@pytest.mark.long
def test_sums_fuse_with_the_convs_before_them(tmp_path):
    """Without the maps' sizes in the file ONNX Runtime adds in an operator of its own, eleven times more."""
    export_onnx(build(preset("v2")).eval(), tmp_path / "v2.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "v2.onnx", options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimised.onnx").graph.node
    if not any(node.op_type == "ReorderInput" for node in nodes):
        pytest.skip("this processor has no blocked layout in ONNX Runtime")
    assert sum(node.op_type == "Conv" and len(node.input) == 4 for node in nodes) >= 11
    assert not any(node.op_type == "QuickGelu" for node in nodes)
