"""What a training starts from."""

from __future__ import annotations

import pytest
import torch

from featherface.train.start import starting_point
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
    from featherface.model import build, preset
    from featherface.model.weights import save_weights

    network = build(preset("nano_b"))
    save_weights(network, tmp_path / "w.safetensors")
    loaded = starting_point(str(tmp_path / "w.safetensors"), "nano_b", list)
    for one, other in zip(network.heads, loaded.heads, strict=True):
        assert torch.equal(one.classes.bias, other.classes.bias)
