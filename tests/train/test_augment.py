"""Crops: pictures and labels move together, and what cannot be taught is ignored."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featherface.train.augment import PAD_COLOUR, Labels, View, no_labels, recolour, view_image, view_labels
from featherface.train.config import DataConfig
from featherface.train.data import (
    CropDataset,
    Picture,
    choose_view,
    draw_face_size,
    load_negatives,
    load_pictures,
)
from featherface.train.loading import collate

SIZE = 96


def labels(*boxes, ignored=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    points = np.stack([boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) * at for at in
                       ([0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8])], 1)  # fmt: skip
    return Labels(boxes, points.astype(np.float32), np.array(ignored or [False] * len(boxes), bool))


views = st.builds(
    View,
    centre=st.tuples(st.floats(40, 120), st.floats(40, 80)),
    scale=st.floats(0.3, 2.0),
    degrees=st.floats(-20, 20),
    flip=st.booleans(),
)


@given(views)
@settings(max_examples=60, deadline=None)
def test_a_bright_spot_lands_where_its_label_does(view):
    image = np.zeros((120, 160, 3), np.uint8)
    image[56:64, 76:84] = 255
    # Brighter than the padding and all that is between it and the black picture.
    shown = (view_image(image, view, SIZE).min(2).astype(float) - 130).clip(0)
    seen = view_labels(labels([76, 56, 84, 64]), view, SIZE, 0.0)
    inside = view.matrix(SIZE) @ [80, 60, 1]
    if not (8 < inside[0] < SIZE - 8 and 8 < inside[1] < SIZE - 8):
        return
    assert len(seen) == 1
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    bright = np.array([(shown * columns).sum(), (shown * rows).sum()]) / shown.sum()
    assert np.abs(bright - (seen.boxes[0, :2] + seen.boxes[0, 2:]) / 2).max() < 1.0


@given(views)
@settings(max_examples=60, deadline=None)
def test_left_stays_left_after_a_flip(view):
    seen = view_labels(labels([70, 50, 90, 75]), View((80.0, 60.0), view.scale, 0.0, view.flip), SIZE, 0.0)
    left_eye, right_eye, _, left_mouth, right_mouth = seen.landmarks[0]
    assert left_eye[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
    assert left_eye[1] < left_mouth[1]


@pytest.mark.parametrize(
    ("box", "kept", "ignored", "reason"),
    [
        pytest.param([70, 50, 90, 70], 1, False, "whole and large enough", id="whole"),
        pytest.param([78, 58, 81, 61], 1, True, "under six pixels it cannot be taught", id="too small"),
        pytest.param([10, 50, 45, 70], 1, True, "its centre is outside but over a third is seen", id="at the edge"),
        pytest.param([0, 50, 36, 70], 0, False, "hardly seen at all", id="gone"),
        pytest.param([-900, -400, 79, 520], 1, True, "it is half of the window", id="a part of something huge"),
    ],
)  # fmt: skip
def test_what_a_window_shows_of_a_face(box, kept, ignored, reason):
    seen = view_labels(labels(box), View((80.0, 60.0), 1.0), SIZE, 6.0)
    assert len(seen) == kept, reason
    assert seen.ignored.tolist() == [ignored] * kept, reason


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        pytest.param([70, 50, 90, 70], 1, id="whole"),
        pytest.param([0, 50, 36, 70], 1, id="its last pixels: they are not background"),
        pytest.param([-3000, -2000, 3000, 1500], 1, id="a crowd round the whole window"),
        pytest.param([0, 50, 20, 70], 0, id="outside"),
    ],
)
def test_what_is_ignored_stays_ignored_as_far_as_it_is_seen(box, kept):
    seen = view_labels(labels(box, ignored=[True]), View((80.0, 60.0), 1.0), SIZE, 6.0)
    assert seen.ignored.tolist() == [True] * kept


def test_outside_the_picture_is_the_colour_that_becomes_zero():
    shown = view_image(np.zeros((20, 20, 3), np.uint8), View((-200.0, -200.0), 1.0), SIZE)
    assert (shown == PAD_COLOUR).all()


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_recolouring_keeps_shape_and_type(seed):
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    out = recolour(image, np.random.default_rng(seed))
    assert out.shape == image.shape and out.dtype == np.uint8


@pytest.mark.parametrize("seed", range(40))
def test_recolouring_never_turns_light_and_dark_round(seed):
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (8, 1, 3))
    # Values first, without the noise and the coding that may follow: the rows' mean rises with the ramp.
    out = recolour(ramp, np.random.default_rng(seed)).mean((0, 2))
    smooth = np.convolve(out, np.ones(17) / 17, "valid")
    assert (np.diff(smooth) > -0.5).all(), "what was darker must not become lighter"


@pytest.mark.parametrize("redraws", [0, 10])
def test_negatives_have_the_share_that_the_recipe_says(tmp_path, redraws):
    """However often a picture is drawn anew: each try must not be another chance for a negative."""
    config = DataConfig(
        native_rate=0.0, face_size=(200.0, 210.0), redraws=redraws, negative_rate=0.1, cache_dir=str(tmp_path)
    )
    picture = Picture(tmp_path / "a.png", labels([0, 0, 10, 10]), 1.0)
    negative = Picture(tmp_path / "n.png", no_labels(), 1.0)
    dataset = CropDataset([picture], [negative], config, 0)
    drawn = [dataset.drawn(np.random.default_rng(i))[0] for i in range(2000)]
    assert 0.08 < np.mean([one is negative for one in drawn]) < 0.12


def view_of(face, seed, config):
    """The window on this face in a picture of 1024 x 768."""
    rng = np.random.default_rng(seed)
    drawn = draw_face_size(rng, config)
    return choose_view(rng, 1024, 768, np.array(face, np.float32), drawn, 320, config)


@pytest.mark.parametrize(("redraws", "least", "most"), [(0, 0.0, 0.6), (12, 0.9, 1.0)])
def test_a_drawn_size_that_no_picture_can_show_is_looked_for_elsewhere(tmp_path, redraws, least, most):
    config = DataConfig(
        native_rate=0.0, face_size=(100.0, 110.0), max_enlarge=1.5, redraws=redraws, mosaic_rate=0.0,
        rotate_rate=0.0, crop_size=256, cache_dir=str(tmp_path),
    )  # fmt: skip
    image = np.full((400, 400, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    pictures = [
        Picture(tmp_path / "a.png", labels([100, 100, 100 + side, 100 + side]), 1.0) for side in (10, 100)
    ]
    crops = [CropDataset(pictures, [], config, 0)[i].labels for i in range(40)]
    large = np.mean([(c.boxes[:, 2] - c.boxes[:, 0]).max() > 60 for c in crops])
    assert least <= large <= most


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_window_always_holds_the_chosen_face(seed):
    face = [600, 300, 640, 350]
    view = view_of(face, seed, DataConfig(crop_size=320))
    seen = view_labels(labels(face), view, 320, 0.0)
    assert len(seen) == 1
    assert view.scale <= 2.0


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_a_window_smaller_than_the_picture_shows_no_padding(seed):
    view = view_of([5, 700, 40, 740], seed, DataConfig())
    half = 160 / view.scale
    for centre, side in zip(view.centre, (1024, 768), strict=True):
        if 2 * half <= side:
            assert half - 1e-6 <= centre <= side - half + 1e-6
        else:
            assert side - half - 1e-6 <= centre <= half + 1e-6, "the whole picture is in the window"


def test_crop_i_is_the_same_whoever_asks(tiny):
    first, second = (
        CropDataset(load_pictures(tiny.data), load_negatives(tiny.data), tiny.data, tiny.seed) for _ in "ab"
    )
    for index in (0, 7, 123):
        a, b = first[index], second[index]
        assert np.array_equal(a.image, b.image)
        assert np.array_equal(a.labels.boxes, b.labels.boxes)
    assert not np.array_equal(first[0].image, first[1].image)
    batch = collate([first[0], first[1]])
    assert batch.images.shape == (2, 3, 64, 64) and len(batch.labels) == 2
