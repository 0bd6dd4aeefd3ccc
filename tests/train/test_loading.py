"""What a run hears of a sample that cannot be made, with and without loading processes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from featherface.errors import ConfigError, ImageError
from featherface.train.augment import no_labels
from featherface.train.config import DataConfig
from featherface.train.data import CropDataset, Picture
from featherface.train.loading import load_batches

SIZE = 64


@pytest.fixture
def pictures(tmp_path):
    made = [tmp_path / f"{i}.png" for i in range(2)]
    for path in made:
        assert cv2.imwrite(str(path), np.full((SIZE, SIZE, 3), 90, np.uint8))
    return made


def of(pictures):
    config = DataConfig(crop_size=SIZE, cache_gb=0, fill_from=0)
    return CropDataset([Picture(path, no_labels(), 1.0) for path in pictures], [], config, 0)


@pytest.mark.parametrize(
    "workers",
    [
        pytest.param(0, id="loaded by the run itself"),
        pytest.param(1, id="loaded by another process", marks=pytest.mark.long),
    ],
)
def test_a_picture_that_went_missing_is_one_line(pictures, workers):
    data = of(pictures)
    pictures[0].unlink()
    with pytest.raises(ImageError) as caught:
        list(load_batches(data, 4, 0, 8, workers))
    assert str(caught.value).splitlines() == [f"{pictures[0]}: no such file or directory"]


def test_each_process_has_its_share_of_every_batch(pictures):
    whole = [batch.images for batch in load_batches(of(pictures), 4, 1, 3, 0)]
    halves = [[b.images for b in load_batches(of(pictures), 4, 1, 3, 0, rank, 2)] for rank in (0, 1)]
    assert len(whole) == len(halves[0]) == len(halves[1]) == 2
    for step, images in enumerate(whole):
        np.testing.assert_array_equal(images, np.concatenate([half[step] for half in halves]))


def test_a_batch_that_cannot_be_shared_is_refused_at_once(pictures):
    with pytest.raises(ConfigError, match="batch_size 5 does not divide over 2 processes"):
        load_batches(of(pictures), 5, 0, 1, 0, 0, 2)
