"""Blocks left out before stride 4: what stays makes up for them, everything after keeps its weights."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tests.helpers.small_networks import SMALL

from featherface.errors import ConfigError, ModelError
from featherface.model import ModelConfig, build
from featherface.model.shorten import shorten
from featherface.model.transplant import transplant
from featherface.train.parameters import freeze

SOURCE = dataclasses.replace(SMALL, refine=True)
SHORT = dataclasses.replace(SOURCE, name="short", backbone_widths=((8, 12, 8, 16, 16), (16, 16), (16, 16)))


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    model = build(SOURCE).train()
    with torch.no_grad():
        for _ in range(30):  # the batch norms see what they will see
            model(pictures(4))
    return model.eval()


def pictures(count, size=64):
    """Soft blobs: what neighbouring pixels tell is what a smaller field of view can go by."""
    coarse = torch.randn(count, 3, size // 8, size // 8, generator=torch.Generator().manual_seed(count))
    return torch.nn.functional.interpolate(coarse * 40, scale_factor=8.0, mode="bilinear")


def at_stride_4(model, images):
    with torch.no_grad():
        return model.backbone.stage1[:-2](images)


def unexplained(model, source, images):
    ours, theirs = at_stride_4(model, images), at_stride_4(source, images)
    return float((ours - theirs).square().mean() / theirs.var())


@pytest.mark.parametrize("stage1", [(8, 4, 8, 16, 16), (4, 8, 8, 8, 16, 16), (4, 4, 8, 8, 8, 16, 16)])
def test_the_last_blocks_of_stage_1_halve_the_map_however_many_come_before(stage1):
    model = build(dataclasses.replace(SOURCE, backbone_widths=(stage1, *SOURCE.backbone_widths[1:])))
    images = torch.zeros(1, 3, 64, 96)
    assert at_stride_4(model.eval(), images).shape == (1, stage1[-3], 16, 24)
    assert [tuple(x.shape[2:]) for x in model.backbone(images)] == [(8, 12), (4, 6), (2, 3)]


def test_a_first_stage_that_cannot_halve_three_times_is_refused():
    with pytest.raises(ConfigError, match="the first from 5"):
        dataclasses.replace(SOURCE, backbone_widths=((8, 8, 16, 16), (16,), (16,)))


def test_what_is_left_is_fitted_and_everything_later_is_kept(source, monkeypatch):
    monkeypatch.setattr("featherface.model.shorten._STEPS", 1)
    torch.manual_seed(1)
    unfitted = shorten(source, SHORT, list(pictures(24).split(1)))
    monkeypatch.setattr("featherface.model.shorten._STEPS", 300)
    torch.manual_seed(1)
    fitted = shorten(source, SHORT, list(pictures(24).split(1)))
    unseen = pictures(5)
    assert unexplained(fitted, source, unseen) < 0.7 * unexplained(unfitted, source, unseen)
    assert not fitted.training and not fitted.backbone.stage1.training
    theirs, ours = source.backbone.stage1, fitted.backbone.stage1
    for mine, old in zip(ours[-2:], theirs[-2:], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), old.parameters(), strict=True))
    later = {k: v for k, v in source.state_dict().items() if not k.startswith("backbone.stage1.")}
    assert later and all(torch.equal(fitted.state_dict()[k], v) for k, v in later.items())


def test_surgery_shortens_and_widens_at_once(source, monkeypatch):
    monkeypatch.setattr("featherface.model.shorten._STEPS", 2)
    wide = dataclasses.replace(SHORT, backbone_widths=((8, 12, 8, 24, 16), (24, 16), (16, 16)), width=16)
    given = list(pictures(3).split(1))
    torch.manual_seed(1)
    narrow = shorten(source, wide, given)
    torch.manual_seed(1)
    both = transplant(source, wide, given)
    assert both.config == wide
    with torch.no_grad():
        for one, other in zip(narrow(pictures(2)), both(pictures(2)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("stage1", "message"),
    [
        pytest.param((8, 12, 12, 16, 16), "8 channels at stride 4 must stay as many, not 12", id="stride 4"),
        pytest.param((4, 8, 8, 8, 8, 16, 16), "7 blocks in the first stage, of 6", id="more blocks"),
    ],
)
def test_what_surgery_cannot_do_is_told_by_name(source, stage1, message):
    other: ModelConfig = dataclasses.replace(SHORT, backbone_widths=(stage1, *SHORT.backbone_widths[1:]))
    with pytest.raises(ModelError, match=message):
        transplant(source, other, [pictures(1)])


def test_a_frozen_stem_ends_at_stride_4(source):
    from featherface.train.config import TrainConfig

    model = build(SHORT)
    freeze(model, dataclasses.replace(TrainConfig(), freeze_stem=True))
    learns = [any(p.requires_grad for p in block.parameters()) for block in model.backbone.stage1]
    assert learns == [False] * 3 + [True] * 2
