"""The ONNX file says what torch says, at any size and batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from featherface.export.onnx import export_onnx
from featherface.model import ModelConfig, build
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


def test_a_deformable_network_exports_with_its_layout(tmp_path):
    torch.manual_seed(0)
    model = build(SMALL).eval()
    torch.nn.init.normal_(model.context[0].conv3[0].offset_conv.weight, 0, 0.05)
    assert export_onnx(model, tmp_path / "small.onnx") < 1e-4
    session = OnnxSession(tmp_path / "small.onnx")
    assert session.spec.name == "small" and session.spec.prior_sizes == SMALL.prior_sizes
    scores, boxes, landmarks = session.run(np.zeros((3, 3, 96, 32), np.float32))
    assert scores.shape[0] == 3 and boxes.shape[1:] == (scores.shape[1], 4) and landmarks.shape[2] == 10


@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (2, 3, 64, 160)])
def test_the_shipped_onnx_takes_any_multiple_of_32(shape):
    scores, _, _ = OnnxSession(WEIGHTS / "v2.onnx").run(np.zeros(shape, np.float32))
    assert scores.shape == (shape[0], 2 * sum(shape[2] * shape[3] // s**2 for s in (8, 16, 32)))
