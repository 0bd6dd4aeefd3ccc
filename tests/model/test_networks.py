"""One contract for every layout, then what each preset promises."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import save_file

from featherface.errors import ConfigError, ModelError
from featherface.model import PRESETS, build, count_parameters, preset
from featherface.model.attention import CoordinateAttention
from featherface.model.fold import folded
from featherface.model.layers import DeformableConv2d, channel_shuffle, deform_conv2d
from featherface.model.published import LAYOUTS
from featherface.model.summary import summarise
from featherface.model.transplant import copy_matching, transplant
from featherface.model.weights import load_weights, save_weights, unfolded
from featherface.priors import prior_boxes

ALL = {**PRESETS, **LAYOUTS}


@pytest.fixture(params=list(ALL), scope="module")
def network(request):
    torch.manual_seed(0)
    model = build(ALL[request.param])
    # Running statistics other than 0 and 1, or folding would have nothing to do.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return model.eval()


def run(model, shape=(2, 3, 64, 96)):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 200 - 100
    with torch.no_grad():
        return model(images)


class TestContract:
    def test_one_prediction_per_prior(self, network):
        priors = prior_boxes(64, 96, network.config.strides, network.config.prior_sizes)
        found = run(network)
        assert [tuple(t.shape) for t in found] == [(2, len(priors), n) for n in (2, 4, 10)]
        assert all(t.isfinite().all() for t in found)

    def test_pictures_of_a_batch_do_not_mix(self, network):
        both = run(network)
        images = torch.rand((2, 3, 64, 96), generator=torch.Generator().manual_seed(1)) * 200 - 100
        with torch.no_grad():
            second = network(images[1:])
        for together, alone in zip(both, second, strict=True):
            torch.testing.assert_close(together[1:], alone, atol=1e-4, rtol=1e-4)

    def test_folding_and_unfolding_change_nothing(self, network):
        expected = run(network)
        once = folded(network)
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in once.modules())
        for other in (once, folded(once), unfolded(once)):
            for a, b in zip(run(other), expected, strict=True):
                torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-3)

    def test_weights_survive_a_file(self, network, tmp_path):
        path = tmp_path / "w.safetensors"
        save_weights(network, path)
        again = load_weights(path)
        assert again.config == network.config
        assert torch.equal(run(again).class_logits, run(network).class_logits)

    def test_every_parameter_learns(self, network):
        model = build(network.config).train()
        # Refinements start as zero; a step's worth of weight lets gradients through.
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
        loss = sum(t.square().mean() for t in model(torch.randn(2, 3, 64, 64) * 50))
        loss.backward()
        silent = [n for n, p in model.named_parameters() if p.grad is None]
        assert silent == []

    def test_summary_adds_up(self, network):
        parts = summarise(network, 64, 64)
        assert sum(part.parameters for part in parts) == count_parameters(network)
        assert all(part.multiply_adds > 0 or part.parameters == 0 for part in parts)


def test_presets_have_the_promised_sizes():
    sizes = {name: count_parameters(build(config)) for name, config in PRESETS.items()}
    assert sizes["v1"] == 488_664
    assert 493_000 * 0.99 <= sizes["v2"] <= 493_000 * 1.01
    assert 2_000 <= sizes["v2"] - sizes["v1"] <= 6_000
    assert sizes["nano_b"] <= 180_000


def test_coordinate_attention_has_the_published_shape():
    assert count_parameters(CoordinateAttention(64)) == 26 * 64 + 24
    assert CoordinateAttention(512).shared.out_channels == 16, "reduction 32 counts above 256 channels"


def test_channel_shuffle_swaps_pairs():
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert channel_shuffle(x).flatten().tolist() == [0, 2, 4, 1, 3, 5]


def test_deformable_conv_with_no_offsets_is_a_plain_conv():
    x, weight = torch.randn(2, 4, 9, 7), torch.randn(5, 4, 3, 3)
    plain = torch.nn.functional.conv2d(x, weight, padding=1)
    found = deform_conv2d(x, torch.zeros(2, 18, 9, 7), torch.ones(2, 9, 9, 7), weight)
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-4)


def test_deformable_conv_offsets_move_the_taps():
    x, weight = torch.randn(1, 3, 8, 8), torch.randn(2, 3, 3, 3)
    offsets = torch.zeros(1, 18, 8, 8)
    offsets[:, 1::2] = 1.0  # every tap one pixel to the right
    moved = deform_conv2d(x, offsets, torch.ones(1, 9, 8, 8), weight)
    plain = torch.nn.functional.conv2d(x, weight, padding=1)
    torch.testing.assert_close(moved[..., 1:-1, 1:-2], plain[..., 1:-1, 2:-1], atol=1e-4, rtol=1e-4)


def test_a_fresh_deformable_conv_samples_its_own_cells():
    conv = DeformableConv2d(3, 4)
    x = torch.randn(1, 3, 6, 6)
    plain = torch.nn.functional.conv2d(x, conv.regular_conv.weight, padding=1)
    torch.testing.assert_close(conv(x), plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"width": 6}, "width", id="not a multiple of 4"),
        pytest.param({"neck_cells": 0}, "neck_cells", id="no neck"),
        pytest.param({"context_inputs": (68, 0, 0)}, "context_inputs", id="more inputs than there are"),
        pytest.param({"strides": (8, 16)}, "levels", id="two levels"),
        pytest.param({"prior_sizes": ((16,), (64, 128), (256, 512))}, "prior sizes", id="uneven"),
    ],
)
def test_impossible_layouts_are_refused(change, reason):
    with pytest.raises(ConfigError, match=reason):
        dataclasses.replace(preset("v2"), **change)


def test_unknown_presets_name_the_known():
    with pytest.raises(ConfigError, match="v1, v2, nano_b"):
        preset("v3")


def test_surgery_starts_refinements_at_zero_and_copies_what_fits():
    torch.manual_seed(0)
    source = build(LAYOUTS["published_v1_cbam"]).eval()
    config = dataclasses.replace(source.config, neck_attention="coordinate", context="plain", refine=True)
    student = transplant(source, config, [torch.randn(1, 3, 64, 64) * 50])
    assert torch.equal(student.backbone.stage1[0][0].weight, source.backbone.stage1[0][0].weight)
    assert student.refine_p3.pointwise[1].weight.abs().max() == 0


def test_surgery_leads_from_the_published_weights_to_v2():
    """As a recipe of `model = "v2"` begins: fitted, widened at stride 32, stride 8 of low rank."""
    torch.manual_seed(0)
    source = build(LAYOUTS["published_v1_cbam"]).eval()
    student = transplant(source, preset("v2"), [torch.randn(1, 3, 64, 64) * 50])
    assert student.config == preset("v2")
    assert all(part.isfinite().all() for part in run(student))


def test_a_plain_conv_takes_the_place_of_a_deformable_one_without_offsets():
    torch.manual_seed(0)
    source = build(LAYOUTS["published_v1_cbam"]).eval()
    plain = dataclasses.replace(source.config, context="plain")
    pictures = [torch.randn(1, 3, 64, 64) * 50 for _ in range(3)]
    student = transplant(source, plain, pictures)
    with torch.no_grad():
        expected, found = source.features(pictures[0]), student.features(pictures[0])
    for theirs, ours in zip(expected, found, strict=True):
        assert (theirs - ours).square().mean() < 0.01 * theirs.var()


def test_copying_nothing_is_noticed():
    assert copy_matching({"other": torch.zeros(1)}, build(preset("nano_b"))) == 0


@pytest.mark.parametrize("content", [b"", b"garbage" * 10])
def test_bad_weight_files_are_named(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.safetensors"):
        load_weights(path)
    with pytest.raises(ModelError, match="no such file"):
        load_weights(tmp_path / "none.safetensors")


def test_foreign_safetensors_are_named(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="says nothing of its layout"):
        load_weights(tmp_path / "foreign.safetensors")


def test_tensors_that_do_not_fit_are_told_in_one_line(tmp_path):
    model, path = build(preset("nano_b")), tmp_path / "renamed.safetensors"
    state = model.state_dict()
    state["backbone.renamed"] = state.pop("backbone.stage1.0.0.weight")
    about = {"model_config": json.dumps(dataclasses.asdict(model.config))}
    save_file(state, path, about)
    with pytest.raises(ModelError, match=r"renamed\.safetensors: .*backbone\.stage1\.0\.0\.weight") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)
    save_file({name: tensor for name, tensor in state.items() if "bn" in name}, path, about)
    with pytest.raises(ModelError) as caught:
        load_weights(path)
    assert len(str(caught.value)) < 500, "not all of the hundreds that are missing"
