"""What a training starts from."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from featherface.errors import ConfigError
from featherface.model import build, preset
from featherface.model.weights import save_weights
from featherface.train.parameters import check_trainable
from featherface.train.start import check_start, starting_point
from featherface.train.teacher import normalise


@pytest.mark.parametrize(
    "init",
    [
        pytest.param("random", id="fresh weights"),
        pytest.param(
            "imagenet:published/mobilenetv1_025_imagenet.tar", id="ImageNet's", marks=pytest.mark.shared
        ),
    ],
)
@pytest.mark.parametrize("preset", ["v1", "v2", "nano_b"])
def test_a_fresh_network_expects_few_faces(request, init, preset):
    """One prior in a hundred at most is one; half of all, as zero biases have it, is what a training unlearns first."""
    kind, _, file = init.partition(":")
    if file:
        init = f"{kind}:{request.getfixturevalue('shared') / file}"
    torch.manual_seed(0)
    network = starting_point(init, preset, list).eval()
    pictures = torch.randint(0, 255, (1, 3, 128, 128), dtype=torch.uint8)
    with torch.no_grad():
        scores = network(normalise(pictures)).class_logits.softmax(-1)[..., 1]
    assert 0.001 < float(scores.mean()) < 0.1


def test_what_is_learned_is_not_touched(tmp_path):
    network = build(preset("nano_b"))
    save_weights(network, tmp_path / "w.safetensors")
    loaded = starting_point(str(tmp_path / "w.safetensors"), "nano_b", list)
    for one, other in zip(network.heads, loaded.heads, strict=True):
        assert torch.equal(one.classes.bias, other.classes.bias)


@pytest.mark.parametrize("model", ["nano_b", "init"])
def test_a_recipe_may_change_the_layout(tmp_path, model):
    """TOML's lists become tuples, also inside one another; what is not named stays."""
    network = build(dataclasses.replace(preset("nano_b"), context_inputs=(0, 0, 0), refine_p3=True))
    save_weights(network, tmp_path / "w.safetensors")
    layout = {
        "context_inputs": [16, 0, 0],
        "refine_p3": False,
        "context_widths": [32, 32, 64],
        "backbone_widths": [[8, 16, 32, 32, 64, 64], [64] * 6, [224, 160]],
    }
    pictures = [torch.randn(1, 3, 64, 64) * 40 for _ in range(2)]
    changed = starting_point(str(tmp_path / "w.safetensors"), model, lambda: pictures, layout)
    assert changed.config.context_inputs == (16, 0, 0) and changed.config.backbone_widths[2] == (224, 160)
    assert changed.refine_p3 is None and changed.config.neck_cells == 3
    torch.testing.assert_close(changed.backbone.stage1[0][0].weight, network.backbone.stage1[0][0].weight)


def test_what_learns_may_be_what_the_layout_adds(tiny):
    learning = dataclasses.replace(tiny, trainable=("refine_p3",))
    check_trainable(dataclasses.replace(learning, layout={"refine_p3": True}))
    with pytest.raises(ConfigError, match="no module 'refine_p3'"):
        check_trainable(learning)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        pytest.param({"depth": 3}, "unknown key layout.depth", id="no such part"),
        pytest.param({"width": 30.5}, "layout.width = 30.5: must be int", id="half a channel"),
        pytest.param({"context_widths": [8, 8]}, "layout.context_widths .* must hold 3", id="a level short"),
        pytest.param({"context": "cnn"}, "layout.context = 'cnn': must be one of", id="no such module"),
        pytest.param({"width": 30}, "width 30 must be a multiple of 4", id="an impossible network"),
        pytest.param({"refine": 1}, "layout.refine = 1: must be bool", id="a number for yes"),
    ],
)
def test_a_layout_that_cannot_be_is_refused_before_anything_is_read(layout, reason):
    with pytest.raises(ConfigError, match=reason):
        check_start("random", "v2", layout)
