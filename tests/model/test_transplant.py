"""Weight surgery: what is carried over computes the same, what is fitted computes nearly the same."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from small_networks import SMALL, outputs, pictures, source

from featherface.errors import ModelError
from featherface.model import ModelConfig, build
from featherface.model.transplant import copy_matching, transplant


def test_the_same_layout_is_a_copy():
    model = source()
    assert torch.equal(outputs(transplant(model, SMALL, pictures())), outputs(model))


def test_refinements_start_as_nothing():
    model = source()
    refined = transplant(model, dataclasses.replace(SMALL, refine=True), pictures())
    assert torch.allclose(outputs(refined), outputs(model), atol=1e-5)


def test_a_deformable_conv_that_does_not_deform_is_fitted_exactly():
    model = source()  # offsets and modulator of a fresh network are zero and one: a plain conv in disguise
    plain = transplant(model, dataclasses.replace(SMALL, context="plain"), pictures())
    difference = (outputs(plain) - outputs(model)).abs().max() / outputs(model).abs().max()
    assert difference < 0.02
    assert sum(p.numel() for p in plain.parameters()) < sum(p.numel() for p in model.parameters())


def test_least_squares_beats_copying_the_kernel_when_it_does_deform():
    model = source()
    generator = torch.Generator().manual_seed(2)
    for context in model.context:
        for block in (context.conv3, context.conv5_1, context.conv5_2, context.conv7_2, context.conv7_3):
            block[0].offset_conv.bias.data = torch.randn(18, generator=generator) * 0.7
    config = dataclasses.replace(SMALL, context="plain")
    fitted = transplant(model, config, pictures())
    copied = transplant(model, config, pictures())
    for theirs, ours in zip(model.context, copied.context, strict=True):
        for name in ("conv3", "conv5_1", "conv5_2", "conv7_2", "conv7_3"):
            getattr(ours, name)[0].weight.data = getattr(theirs, name)[0].regular_conv.weight.data.clone()
            getattr(ours, name)[1].load_state_dict(getattr(theirs, name)[1].state_dict())
    wanted = outputs(model)
    assert (outputs(fitted) - wanted).norm() < 0.5 * (outputs(copied) - wanted).norm()


def test_coordinate_attention_starts_at_the_mean_gate():
    model = source()
    student = transplant(model, dataclasses.replace(SMALL, neck_attention="coordinate"), pictures())
    seen = {}
    model.neck_attention[0].attention.register_forward_hook(lambda _, i, o: seen.update(x=i[0], y=o))
    outputs(model)
    with torch.no_grad():
        ours = student.neck_attention[0].attention(seen["x"])
    mean_gate = seen["y"].abs().sum((0, 2, 3)) / seen["x"].abs().sum((0, 2, 3))
    found = ours.abs().sum((0, 2, 3)) / seen["x"].abs().sum((0, 2, 3))
    assert (found - mean_gate).abs().max() < 0.1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backbone_attention": "relu"}, "the neck's convs read the backbone's maps"),
        ({"neck_attention": "relu"}, "SSH reads the neck's maps"),
        (
            {"backbone_attention": "relu", "context": "plain"},
            "SSH is fitted to what it put out with attention",
        ),
    ],
)
def test_convs_take_over_attention_that_is_left_out(changes, reason):
    model = source(backbone_attention="cbam")
    with torch.no_grad():  # gates that do not depend on the picture: what takes them over loses nothing
        for name, tensor in model.named_parameters():
            if name.endswith(("mlp.2.weight", "spatial.conv.weight")):
                tensor.zero_()
            elif name.endswith("mlp.2.bias"):
                tensor.copy_(torch.linspace(-1, 1, len(tensor)))
    left_out = transplant(model, dataclasses.replace(model.config, **changes), pictures())
    difference = (outputs(left_out) - outputs(model)).abs().max() / outputs(model).abs().max()
    assert difference < 0.02, reason


def test_attention_is_left_out_where_channels_grow_too():
    stages = SMALL.backbone_widths
    wider = (stages[0], tuple(w + w // 2 for w in stages[1]), stages[2])
    changes = {"backbone_attention": "relu", "backbone_widths": wider}
    model = source(backbone_attention="cbam")
    alike = transplant(model, dataclasses.replace(SMALL, backbone_attention="relu"), pictures())
    widened = transplant(model, dataclasses.replace(SMALL, **changes), pictures())
    assert torch.allclose(outputs(widened), outputs(alike), atol=1e-4), "under CBAM it would be refused"


@pytest.mark.parametrize("changes", [{"neck_attention": "relu"}, {"neck_attention": "coordinate"}])
def test_a_narrower_neck_has_nothing_to_take_over(changes):
    model = source()
    narrower = transplant(model, dataclasses.replace(SMALL, width=8, **changes), pictures())
    assert torch.equal(narrower.backbone.stage1[0][0].weight, model.backbone.stage1[0][0].weight)
    assert outputs(narrower).isfinite().all()


def test_nothing_in_common_is_an_error():
    other = ModelConfig(
        name="other", width=8, neck_cells=1, backbone_attention="none", neck_attention="none",
        context="plain", shuffle="none", backbone_widths=((3, 7, 7, 7, 9, 9), (11,), (13,)),
    )  # fmt: skip
    bare = build(other)
    assert copy_matching({}, bare) == 0
    with pytest.raises(ModelError, match="nothing of"):
        transplant(_Foreign(source()), other, pictures())


class _Foreign(torch.nn.Module):
    """A network none of whose tensors has a name of ours."""

    def __init__(self, model):
        super().__init__()
        self.config, self.inner = model.config, model
