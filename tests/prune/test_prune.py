"""What is pruned computes what was masked; bad rates and foreign layouts are refused."""

from __future__ import annotations

import dataclasses
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from featherface.cli.app import build_app
from featherface.errors import ConfigError
from featherface.model import build, count_parameters, preset
from featherface.model.fold import folded
from featherface.model.weights import load_weights, save_weights

pytest.importorskip("torch_pruning", reason="the prune extra is not installed")

from featherface.prune.groups import shuffled, unshuffled
from featherface.prune.layout import Rates, pruned_layout
from featherface.prune.surgery import doomed, makers, masked, removed, zero

PARTS = [field.name for field in dataclasses.fields(Rates)]


@pytest.mark.long
@pytest.mark.parametrize(
    "rates",
    [
        pytest.param(Rates(), id="nothing"),
        *(pytest.param(Rates(**{part: 0.5}), id=f"{part} alone") for part in PARTS),
        pytest.param(Rates(**dict.fromkeys(PARTS, 0.5)), id="half of everything"),
        pytest.param(Rates(stage2=0.3, neck=0.2, context_p4=0.7), id="uneven"),
    ],
)
def test_the_pruned_network_computes_what_the_masked_one_does(model, rates):
    check_pruned(model, rates)


@pytest.mark.parametrize(
    ("rates", "left"),
    [
        pytest.param(Rates(context_p3=0.5, neck=0.25, context_p5=0.5), (16, 0, 8), id="with them"),
        pytest.param(Rates(context_p3=0.25, neck=0.75), (8, 0, 8), id="with the neck, which gives them"),
    ],
)
def test_inputs_of_context_modules_go(with_fewer_inputs, rates, left):
    assert check_pruned(with_fewer_inputs, rates).context_inputs == left


def check_pruned(model, rates):
    layout = pruned_layout(model.config, rates, "small")
    channels = doomed(model, layout)
    images = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(1)) * 255 - 110
    networks = masked(model, channels), removed(model, channels, layout)
    with torch.inference_mode():
        expected, found = (network(images) for network in networks)
    for ours, theirs in zip(found, expected, strict=True):
        scale = float(theirs.abs().max())
        assert float((ours - theirs).abs().max()) < 1e-5 * max(scale, 1)
    return layout


def test_a_pruned_network_is_an_ordinary_one(model, tmp_path, monkeypatch):
    layout = pruned_layout(model.config, Rates(**dict.fromkeys(PARTS, 0.5)), "small")
    smaller = removed(model, doomed(model, layout), layout)
    assert count_parameters(smaller) == count_parameters(build(layout)) < 0.4 * count_parameters(model)
    save_weights(smaller, tmp_path / "small.safetensors")
    monkeypatch.setitem(sys.modules, "torch_pruning", None)  # it takes no more than any other network
    assert load_weights(tmp_path / "small.safetensors").config == layout


@pytest.mark.parametrize(
    ("multiple", "rates", "expected"),
    [
        pytest.param(8, Rates(), 64, id="a width that is a multiple"),
        pytest.param(12, Rates(), 64, id="one that is none"),
        pytest.param(32, Rates(), 64, id="a stem that is narrower than the multiple"),
        pytest.param(12, Rates(neck=0.25), 48, id="a rate where others are 0"),
    ],
)
def test_a_rate_of_zero_keeps_all_whatever_the_multiple(multiple, rates, expected):
    config = preset("v2")
    layout = pruned_layout(config, rates, config.name, multiple)
    assert layout.width == expected
    assert layout.backbone_widths == config.backbone_widths and layout.level_widths == config.level_widths


def test_the_filters_nearest_to_the_median_go(model):
    """Three copies of one filter lie where the geometric median is; one of a kind stays."""
    network = build(model.config).eval()
    network.load_state_dict(model.state_dict())
    weight = network.backbone.stage3[0][1][0].weight
    with torch.no_grad():
        weight[:64] = weight.mean(0) * 0.1
        weight[64:] *= 10
    layout = pruned_layout(network.config, Rates(stage3=0.25), "small")
    gone = doomed(network, layout)["backbone.stage3.0.1.0"]
    assert gone == list(range(64))


def test_zeroed_filters_of_a_folded_network_put_out_nothing(model):
    """Soft pruning works on the network in training, whose batch norms are folded."""
    layout = pruned_layout(model.config, Rates(stage2=0.5), "small")
    network = folded(model)
    for name, channels in makers(model, doomed(model, layout)):
        zero(network.get_submodule(name), channels)
    gone = doomed(model, layout)["backbone.stage2.2.1.0"]
    with torch.inference_mode():
        x = network.backbone.stage1(torch.rand(1, 3, 64, 64) * 255 - 110)
        out = network.backbone.stage2[:3](x)
    assert len(gone) == 64 and float(out[:, gone].abs().max()) == 0
    kept = [i for i in range(128) if i not in gone]
    assert float(out[:, kept].abs().amax((0, 2, 3)).min()) > 0


@given(st.integers(1, 64))
@settings(max_examples=20)
def test_unshuffling_undoes_shuffling(half):
    there, back = shuffled(2 * half), unshuffled(2 * half)
    assert [there[i] for i in back] == list(range(2 * half))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda m: Rates(neck=1.0), "rates.neck = 1.0", id="all channels"),
        pytest.param(lambda m: Rates(neck=-0.1), "at least 0", id="more than there are"),
        pytest.param(
            lambda m: pruned_layout(m.config, Rates(stage3=0.999), "x"),
            "leaves none of 256",
            id="none after rounding",
        ),
        pytest.param(
            lambda m: pruned_layout(m.config, Rates(neck=0.5, context_p3=0.94), "x", 4),
            r"rates \(neck = 0.5, context_p3 = 0.94\): what they leave is no network \(.*context_widths",
            id="too few for a context",
        ),
        pytest.param(lambda m: doomed(m, preset("v1")), "is not v2", id="another network's layout"),
        pytest.param(
            lambda m: doomed(m, dataclasses.replace(m.config, width=128)),
            "cannot keep 128",
            id="a wider layout",
        ),
        pytest.param(
            lambda m: doomed(m, dataclasses.replace(m.config, context_inputs=(32, 0, 0))),
            "is not v2 with fewer channels",
            id="a layer more",
        ),
        pytest.param(
            lambda m: doomed(m, dataclasses.replace(m.config, backbone_widths=((64,) * 6, (128,), (256,)))),
            "is not v2 with fewer channels",
            id="layers less",
        ),
        pytest.param(lambda m: doomed(build(preset("v1")), preset("v1")), "can be pruned", id="deformable"),
    ],
)
def test_what_cannot_be_pruned_is_said(model, make, says):
    with pytest.raises(ConfigError, match=says):
        make(model)


RECIPE = 'name = "small"\ninit = "{init}"\noutput = "{out}"\n{more}\n[rates]\nstage3 = 0.5\n'


@pytest.mark.long
def test_the_command_writes_a_start_for_training(model, tmp_path):
    save_weights(model, tmp_path / "v2.safetensors")
    recipe = tmp_path / "prune.toml"
    recipe.write_text(RECIPE.format(init=tmp_path / "v2.safetensors", out=tmp_path, more=""))
    result = CliRunner().invoke(build_app(), ["prune", str(recipe)])
    assert result.exit_code == 0, result.output
    smaller = load_weights(tmp_path / "small" / "pruned.safetensors")
    assert smaller.config.backbone_widths[2] == (128, 128)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("init = 1", "init = 1: must be str", id="a wrong type"),
        pytest.param('init = "a"\nratios = 2', "unknown key ratios", id="an unknown key"),
        pytest.param('init = "a"\n[rates]\nhead = 0.5', "unknown key rates.head", id="an unknown part"),
        pytest.param('init = "a"\n[rates]\nneck = 1.5', "under 1", id="a rate over one"),
        pytest.param('name = "x"', "no weights to prune", id="nothing to prune"),
        pytest.param('init = "{missing}"', "no such file", id="weights that are missing"),
        pytest.param("init = ", "Invalid value", id="not TOML"),
    ],
)
def test_a_bad_recipe_is_one_clear_line(text, says, tmp_path):
    recipe = tmp_path / "prune.toml"
    recipe.write_text(text.replace("{missing}", str(tmp_path / "none.safetensors")))
    result = CliRunner().invoke(build_app(), ["prune", str(recipe)])
    assert result.exit_code == 1 and says in str(result.exception)


def test_too_many_parameters_are_refused(model, tmp_path):
    save_weights(model, tmp_path / "v2.safetensors")
    recipe = tmp_path / "prune.toml"
    recipe.write_text(
        RECIPE.format(init=tmp_path / "v2.safetensors", out=tmp_path, more="max_parameters = 1000")
    )
    result = CliRunner().invoke(build_app(), ["prune", str(recipe)])
    assert result.exit_code == 1 and "over max_parameters = 1,000" in str(result.exception)
    assert not (tmp_path / "small").exists()
