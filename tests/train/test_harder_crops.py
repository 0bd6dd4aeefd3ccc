"""Crops made harder or fuller than their pictures: covered faces, little light, other pictures in the padding."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featherface.train.augment import Labels, View, darken, no_labels
from featherface.train.compose import Square, free_squares, pasted, quarters
from featherface.train.config import DataConfig
from featherface.train.data import CropDataset, Picture
from featherface.train.occlude import PLACES, SMALLEST, cover_faces

SIZE = 128


def faces(*boxes, ignored=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    landmarks = np.full((len(boxes), 5, 2), np.nan, np.float32)
    return Labels(boxes, landmarks, np.array(ignored or [False] * len(boxes), bool))


def noise(seed=0, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def covered_part(before, after, box):
    x0, y0, x1, y1 = (int(v) for v in box)
    return (before != after).any(-1)[y0:y1, x0:x1].mean()


@given(st.integers(0, 10_000))
@settings(max_examples=80, deadline=None)
def test_a_covered_face_stays_a_face(seed):
    image, labels = noise(), faces([30, 20, 70, 80], [90, 90, 120, 120], ignored=[False, True])
    before = image.copy()
    after = cover_faces(image, labels, 1.0, np.random.default_rng(seed))
    assert np.array_equal(image, before), "what came in is not changed"
    assert after.shape == image.shape and after.dtype == np.uint8
    assert 0.02 < covered_part(image, after, labels.boxes[0]) < 0.75, "something is covered, never most of it"
    assert covered_part(image, after, labels.boxes[1]) == 0, "another face that is to be left"


def test_as_much_is_covered_where_no_face_is():
    """A patch alone must not say that there is a face."""
    image, labels, elsewhere = noise(), faces([4, 4, 44, 54]), []
    for seed in range(40):
        changed = (cover_faces(image, labels, 1.0, np.random.default_rng(seed)) != image).any(-1)
        changed[:62, :50] = False
        elsewhere.append(changed.mean() > 0.01)
    assert np.mean(elsewhere) > 0.8


@pytest.mark.parametrize(
    ("labels", "rate", "reason"),
    [
        pytest.param(no_labels(), 1.0, "nobody there", id="no faces"),
        pytest.param(faces([30, 20, 90, 100]), 0.0, "none is asked for", id="no rate"),
        pytest.param(faces([30, 20, 90, 100], ignored=[True]), 1.0, "teaches nothing", id="ignored"),
        pytest.param(faces([30, 20, 29 + SMALLEST, 60]), 1.0, "nothing would be left of it", id="small"),
        pytest.param(faces([-40, -40, -10, -10]), 1.0, "outside of the crop", id="outside"),
    ],
)
def test_faces_that_are_left_as_they_are(labels, rate, reason):
    image = noise()
    assert np.array_equal(cover_faces(image, labels, rate, np.random.default_rng(1)), image), reason


def test_the_share_of_covered_faces_is_the_rate():
    boxes = [[x, y, x + 20, y + 20] for x in range(4, 250, 30) for y in range(4, 250, 30)]
    labels, image = faces(*boxes), noise(size=270)
    after = cover_faces(image, labels, 0.3, np.random.default_rng(3))
    share = np.mean([covered_part(image, after, box) > 0 for box in labels.boxes])
    assert 0.15 < share < 0.45


@pytest.mark.parametrize("name", PLACES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_what_covers_leaves_a_third_of_the_face(name, seed):
    x0, y0, x1, y1 = PLACES[name](np.random.default_rng(seed))
    inside = (min(x1, 1) - max(x0, 0)) * (min(y1, 1) - max(y0, 0))
    assert 0.02 < inside <= 0.66


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_less_light_is_darker_and_keeps_the_order_of_tones(seed):
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 64, 3))
    dark = darken(ramp, np.random.default_rng(seed))
    assert dark.shape == ramp.shape and dark.dtype == np.uint8
    assert dark.mean() < 0.75 * ramp.mean()
    rows = np.convolve(dark.mean((1, 2)), np.ones(17) / 17, "valid")
    assert (np.diff(rows) > -0.3).all(), "what was darker must not become lighter"


views = st.builds(
    View,
    centre=st.tuples(st.floats(-20, 220), st.floats(-20, 170)),
    scale=st.floats(0.2, 2.0),
    flip=st.booleans(),
)


@given(views, st.integers(1, 60))
@settings(max_examples=150, deadline=None)
def test_free_squares_lie_in_the_window_beside_the_picture_and_each_other(view, smallest):
    width, height = 200, 150
    taken = np.zeros((SIZE, SIZE), np.int32)
    ends = view.matrix(SIZE) @ np.array([[0, width], [0, height], [1, 1]])
    low, high = ends.min(1), ends.max(1)
    columns, rows = np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5
    seen = ((rows > low[1]) & (rows < high[1]))[:, None] & ((columns > low[0]) & (columns < high[0]))
    taken[seen] += 1
    for place in free_squares(view, width, height, SIZE, smallest):
        assert place.side >= smallest
        assert 0 <= place.x <= SIZE - place.side and 0 <= place.y <= SIZE - place.side
        taken[place.y : place.y + place.side, place.x : place.x + place.side] += 1
    assert taken.max() <= 1


@pytest.mark.parametrize(
    ("view", "expected", "reason"),
    [
        pytest.param(View((64.0, 64.0), 1.0), [], "the picture fills the window", id="full"),
        pytest.param(View((96.0, 64.0), 1.0), [Square(96, y, 32) for y in (0, 32, 64, 96)], "beside", id="beside"),
        pytest.param(View((64.0, 96.0), 1.0), [Square(x, 96, 32) for x in (0, 32, 64, 96)], "below", id="below"),
        pytest.param(View((96.0, 64.0), 1.0, degrees=5.0), [], "triangles", id="turned"),
        pytest.param(View((70.0, 64.0), 1.0), [], "six pixels are too few", id="narrow"),
    ],
)  # fmt: skip
def test_places_beside_a_picture_as_large_as_its_window(view, expected, reason):
    assert free_squares(view, SIZE, SIZE, SIZE, 24) == expected, reason


def test_a_pasted_crop_takes_its_faces_with_it():
    canvas, piece = np.zeros((64, 64, 3), np.uint8), np.full((32, 32, 3), 9, np.uint8)
    seen = pasted(canvas, piece, faces([1, 2, 11, 12], ignored=[True]), quarters(64)[1])
    assert (canvas[:32, 32:] == 9).all() and canvas.sum() == 9 * 32 * 32 * 3
    assert seen.boxes.tolist() == [[33, 2, 43, 12]] and seen.ignored.tolist() == [True]


def dataset(folder, **changes):
    """Two pictures, smaller than their window, with one face each."""
    for name, colour in (("a.png", 90), ("b.png", 200)):
        cv2.imwrite(str(folder / name), np.full((60, 120, 3), colour, np.uint8))
    values = {
        "native_scale": (0.999, 1.001),
        "native_rate": 1.0,
        "mosaic_rate": 0.0,
        "rotate_rate": 0.0,
        **changes,
    }
    config = DataConfig(crop_size=SIZE, cache_dir=str(folder / "cache"), **values)
    pictures = [Picture(folder / name, faces([40, 10, 80, 50]), 1.0) for name in ("a.png", "b.png")]
    return CropDataset(pictures, [], config, 0)


def test_padding_is_filled_where_the_recipe_asks_for_it(tmp_path):
    empty, filled = dataset(tmp_path), dataset(tmp_path, fill_from=32)
    assert np.mean([len(empty[i].labels) for i in range(20)]) == 1
    for i in range(20):
        labels = filled[i].labels
        assert len(labels) > 1, "the other picture's face beside it"
        assert (labels.boxes >= 0).all() and (labels.boxes <= SIZE).all()
        assert np.array_equal(filled[i].image, filled[i].image), "asked twice, the same crop"


@pytest.mark.parametrize("mosaic", [0.0, 1.0], ids=["crops", "mosaics"])
@pytest.mark.parametrize(("key", "darker"), [("occlude_rate", False), ("darken_rate", True)])
def test_covering_and_darkening_reach_the_crops(tmp_path, monkeypatch, key, darker, mosaic):
    monkeypatch.setattr("featherface.train.data.recolour", lambda image, rng: image)
    plain, hard = dataset(tmp_path, mosaic_rate=mosaic), dataset(tmp_path, mosaic_rate=mosaic, **{key: 1.0})
    shown = [hard[i] for i in range(12)]
    if darker:
        bright = np.mean([plain[i].image.mean() for i in range(12)])
        assert np.mean([sample.image.mean() for sample in shown]) < 0.8 * bright
        return
    kinds = [
        len(np.unique(crop_of(s.image, box))) for s in shown for box in s.labels.boxes if box[2] - box[0] > 16
    ]
    assert len(kinds) > 6 and min(kinds) > 1, "each face has something before it: pictures are of one tone"


def crop_of(image, box):
    x0, y0, x1, y1 = (int(v) for v in np.round(box))
    return image[y0:y1, x0:x1]


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Dark pictures of several shapes; every face is a bright square, and nothing else is bright."""
    folder, rng, pictures = tmp_path_factory.mktemp("squares"), np.random.default_rng(1), []
    for number, (height, width) in enumerate([(300, 150), (120, 400), (500, 500), (90, 90), (240, 320)]):
        image, boxes = np.full((height, width, 3), (40, 45, 50), np.uint8), []
        for _ in range(4):
            side = int(rng.integers(12, 40))
            x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
            if all(abs(x - box[0]) > 60 or abs(y - box[1]) > 60 for box in boxes):
                image[y : y + side, x : x + side] = 255
                boxes.append([x, y, x + side, y + side])
        cv2.imwrite(str(folder / f"{number}.png"), image)
        pictures.append(Picture(folder / f"{number}.png", faces(*boxes), 1.0))
    return pictures


def test_labels_lie_on_their_faces_in_mosaics_filled_turned_and_flipped_crops(squares, tmp_path, monkeypatch):
    monkeypatch.setattr("featherface.train.data.recolour", lambda image, rng: image)
    config = DataConfig(
        crop_size=256, mosaic_rate=0.2, fill_from=32, rotate_rate=0.2, rotate_degrees=15.0, redraws=3,
        face_size=(10.0, 120.0), cache_dir=str(tmp_path),
    )  # fmt: skip
    crops, checked, unlabelled = CropDataset(squares, [], config, 3), 0, []
    for number in range(60):
        sample = crops[number]
        bright, near = sample.image.min(2) > 200, np.zeros(sample.image.shape[:2], bool)
        for box, ignored in zip(sample.labels.boxes, sample.labels.ignored, strict=True):
            x0, y0, x1, y1 = np.round(box).astype(int)
            near[max(y0 - 4, 0) : y1 + 4, max(x0 - 4, 0) : x1 + 4] = True
            if not ignored and min(x1 - x0, y1 - y0) >= 4:
                checked += 1
                assert bright[y0:y1, x0:x1].mean() > 0.5, (number, box)
        unlabelled.append((bright & ~near).sum() / max(bright.sum(), 1))
    assert checked > 150
    assert np.mean(unlabelled) < 0.08, "but parts of squares at a window's edge"
