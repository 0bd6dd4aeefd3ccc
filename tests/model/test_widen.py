"""Widening: more channels, the same outputs; what would change them is refused by name."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from featherface.errors import ModelError
from featherface.model import ModelConfig, build, preset, published
from featherface.model.transplant import transplant
from featherface.model.weights import save_weights
from featherface.model.widen import is_wider, widen
from featherface.train.start import starting_point

TINY = ModelConfig(
    name="tiny",
    width=8,
    neck_cells=2,
    backbone_attention="none",
    neck_attention="none",
    context="plain",
    shuffle="none",
    backbone_widths=((4, 8, 8, 8, 16, 16), (16, 16), (16, 32)),
)
WIDER_BACKBONE = ((5, 8, 9, 11, 16, 20), (23, 18), (16, 40))
DOUBLE_BACKBONE = ((4, 8, 8, 8, 16, 32), (20, 48), (16, 64))


def used(config, seed=0):
    """A network whose batch norms keep its signal alive and whose zero-initialised layers are no longer zero."""
    torch.manual_seed(seed)
    model = build(config).train()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.randn_like(tensor) * 0.03)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        model(pictures(2))
        logits = model.eval()(pictures(2)).class_logits
    assert logits.std(1).min() > 0.05, "outputs that are the biases alone would be kept by anything"
    return model


def pictures(count=1, size=64):
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, 3, size, size, generator=generator) * 40


def difference(one, other, images):
    with torch.no_grad():
        pairs = zip(one(images), other(images), strict=True)
        return max(float((a - b).abs().max()) for a, b in pairs)


@pytest.mark.parametrize(
    ("layout", "wider"),
    [
        pytest.param({}, {"width": 12}, id="the neck, and with it context modules and heads"),
        pytest.param({}, {"width": 28}, id="more than three times"),
        pytest.param({}, {"context_widths": (8, 12, 20)}, id="levels alone, each otherwise"),
        pytest.param({}, {"backbone_widths": WIDER_BACKBONE}, id="backbone"),
        pytest.param({}, {"width": 12, "backbone_widths": WIDER_BACKBONE}, id="all at once"),
        pytest.param(
            {"refine": True}, {"width": 12, "backbone_widths": WIDER_BACKBONE}, id="residual blocks"
        ),
        pytest.param({"context_inputs": (4, 0, 0)}, {"width": 12}, id="fewer inputs for SSH"),
        pytest.param({"refine": True, "refine_p3": False}, {"width": 12}, id="two residual blocks"),
        pytest.param({"shuffle": "channel"}, {"width": 12}, id="channel shuffle"),
        pytest.param({"shuffle": "block"}, {"width": 12}, id="shuffle block"),
        pytest.param({"context": "deformable"}, {"width": 12}, id="deformable convs"),
        pytest.param({"neck_attention": "coordinate"}, {"width": 12}, id="Coordinate Attention"),
        pytest.param({"neck_attention": "relu"}, {"width": 12}, id="a ReLU in attention's place"),
        pytest.param(
            {"head_attention": "coordinate_shared"}, {"width": 12}, id="attention of the published V2"
        ),
        pytest.param(
            {"backbone_attention": "cbam"}, {"backbone_widths": DOUBLE_BACKBONE}, id="CBAM, whole multiples"
        ),
        pytest.param({"neck_attention": "cbam", "width": 16}, {"width": 32}, id="CBAM at the neck, doubled"),
        pytest.param({"backbone_attention": "cbam"}, {"width": 12}, id="the neck behind CBAM"),
    ],
)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "batch statistics"])
def test_a_wider_network_gives_the_same(layout, wider, training):
    narrow = dataclasses.replace(TINY, **layout)
    source = used(narrow)
    wide = widen(source, dataclasses.replace(narrow, **wider))
    grown = [(name, tensor) for name, tensor in wide.named_parameters() if tensor.ndim > 1]
    assert any(t.shape != source.get_parameter(name).shape for name, t in grown)
    images = pictures(2)
    assert difference(source.train(training), wide.train(training), images) < 1e-4


def test_doubles_learn_differently():
    source = used(dataclasses.replace(TINY, neck_attention="coordinate", shuffle="block"))
    wide = widen(source, dataclasses.replace(source.config, width=16)).train()
    sum(part.square().mean() for part in wide(pictures(2))).backward()
    gradient = wide.neck.cells[0].project["p3"][0].weight.grad
    one, double = gradient[:8], gradient[8:]
    # Gradients in proportion would be the same step of AdamW: the ratio has to vary within a channel.
    ratio = (one / double).flatten(1)
    assert (ratio.std(1) > 1e-3 * ratio.mean(1).abs()).all()


@pytest.mark.parametrize(
    ("layout", "wider", "words"),
    [
        pytest.param({}, {"neck_cells": 3}, "neck_cells is 2, not 3", id="a further cell is no width"),
        pytest.param({}, {"context": "deformable"}, "context is 'plain'", id="other convs"),
        pytest.param({"width": 12}, {"width": 8}, "the neck would shrink from 12 to 8", id="narrower"),
        pytest.param(
            {},
            {"width": 12, "context_widths": (12, 12, 8), "backbone_widths": ((4, 8, 8, 8, 16, 16), (16, 16), (16, 24))},
            "stage 3, layer 2 would shrink from 32 to 24",
            id="wider here, narrower there",
        ),
        pytest.param(
            {},
            {"backbone_widths": ((4, 8, 8, 8, 16, 16), (16, 16, 16), (16, 32))},
            "the backbone has other layers",
            id="a further layer",
        ),
        pytest.param(
            {"backbone_attention": "cbam"},
            {"backbone_widths": ((4, 8, 8, 8, 16, 24), (16, 16), (16, 32))},
            "CBAM takes the mean over the channels of the backbone's stage 1, so 16 .* not 24",
            id="CBAM, no whole multiple",
        ),
        pytest.param(
            {"neck_attention": "cbam", "width": 16},
            {"width": 24},
            "CBAM takes the mean over the channels of the neck, so 16 .* not 24",
            id="CBAM at the neck, no whole multiple",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_widened_is_named(layout, wider, words):
    narrow = dataclasses.replace(TINY, **layout)
    with pytest.raises(ModelError, match=words):
        widen(build(narrow), dataclasses.replace(narrow, name="wide", **wider))


@pytest.mark.parametrize(
    ("one", "than", "expected"),
    [
        ({}, {}, False),
        ({"width": 12}, {}, True),
        ({}, {"width": 12}, False),
        ({"context_widths": (8, 8, 12)}, {}, True),
        ({"backbone_widths": DOUBLE_BACKBONE}, {}, True),
    ],
)
def test_what_counts_as_wider(one, than, expected):
    assert is_wider(dataclasses.replace(TINY, **one), dataclasses.replace(TINY, **than)) is expected


def test_transplants_widen_what_surgery_has_made():
    source = used(dataclasses.replace(TINY, neck_attention="cbam", width=16))
    config = dataclasses.replace(TINY, neck_attention="coordinate", width=24, refine=True)
    student = transplant(source, config, [pictures()])
    assert student.config == config, "a width that CBAM itself could not have had"
    plain = dataclasses.replace(source.config, refine=True, backbone_widths=DOUBLE_BACKBONE)
    assert difference(source, transplant(source, plain, []), pictures()) < 1e-4
    with pytest.raises(ModelError, match="cannot be widened to odd: the neck would shrink"):
        transplant(source, dataclasses.replace(plain, name="odd", width=8), [])


def test_a_recipe_starts_v2_from_half_of_it(tmp_path):
    halves = ((8, 16, 32, 32, 32, 32), (64, 64, 64, 64, 64, 64), (152, 128))
    whole = {"context_inputs": (0, 0, 0)}  # fewer of them are not made more by widening
    source = used(dataclasses.replace(preset("v2"), name="half", width=32, backbone_widths=halves, **whole))
    save_weights(source, tmp_path / "half.safetensors")
    wide = starting_point(str(tmp_path / "half.safetensors"), "v2", list, {"context_inputs": [0, 0, 0]})
    assert wide.config == dataclasses.replace(preset("v2"), **whole)
    with torch.no_grad():
        largest = max(float(output.abs().max()) for output in source(pictures(1, 96)))
    assert difference(source, wide, pictures(1, 96)) < 1e-5 * largest


def test_a_recipe_is_told_why_v2_cannot_start_from_nano_b():
    with pytest.raises(ModelError, match="stage 3, so 160 can become a multiple of 160 only, not 256"):
        starting_point("nano_b", "v2", list)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "width"),
    [("featherface_v1_489015", 64), ("featherface_v2_493095", 64), ("featherface_v1_cbam_592371", 128)],
)
def test_published_checkpoints_widened(shared, name, width):
    source = published.load(shared / "published" / f"{name}.pth")
    wide = widen(source, dataclasses.replace(source.config, width=width))
    assert difference(source, wide, pictures(1, 128)) < 1e-4
