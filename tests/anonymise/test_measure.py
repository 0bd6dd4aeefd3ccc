"""The benchmark's measure of what is left visible: it sees faces, and nothing that is behind them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from featherface.anonymise import Style, hide

BOX = np.array([100, 80, 148, 140], np.float32)
SHIFTED = BOX + np.float32([24, 0, 24, 0])


@pytest.fixture
def picture():
    """Blots of the size that features of a face have, and strong edges in the corners of its box."""
    noise = np.random.default_rng(0).normal(128, 60, (240, 320, 3))
    image = cv2.GaussianBlur(noise, (0, 0), 2) * 3 - 256
    for x, y in ((100, 80), (147, 80), (100, 139), (147, 139)):
        cv2.circle(image, (x, y), 5, (255, 255, 255), -1)
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("hidden", "visible"),
    [
        pytest.param([], True, id="nothing"),
        pytest.param([BOX], False, id="all of it"),
        pytest.param([SHIFTED], True, id="half of it"),
        pytest.param([BOX + np.float32([300, 0, 300, 0])], True, id="something else"),
    ],
)
def test_a_face_is_visible_as_far_as_it_is_not_hidden(hidden, visible, picture, is_visible):
    """Under the smallest ellipse the corners of the box stay as they were: no face is in them."""
    boxes = np.array(hidden, np.float32).reshape(-1, 4)
    assert is_visible(picture, hide(picture, boxes, Style(grow=1.0)), BOX) == visible
