"""What is drawn, and where."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from featherface.detections import Detections
from featherface.draw import draw_detections, drawn_regions


@st.composite
def faces(draw: st.DrawFn) -> Detections:
    """Up to four, some of them over the picture's edge, some with landmarks far outside their box."""
    count = draw(st.integers(0, 4))
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    corner, side = random.uniform(-40, 380, (count, 2)), random.uniform(2, 300, (count, 2))
    return Detections(
        np.concatenate([corner, corner + side], 1).astype(np.float32),
        random.uniform(0, 1, count).astype(np.float32),
        random.uniform(-20, 420, (count, 5, 2)).astype(np.float32),
        width=480,
        height=360,
    )


@settings(deadline=None)
@given(found=faces(), size=st.sampled_from([(360, 480), (64, 64), (31, 900)]), named=st.booleans())
def test_nothing_outside_the_regions_is_drawn_on(
    found: Detections, size: tuple[int, int], named: bool
) -> None:
    image = np.full((*size, 3), 128, np.uint8)
    labels = [f"#{number}" for number in range(len(found))] if named else None
    drawn = draw_detections(image, found, labels)
    for x1, y1, x2, y2 in drawn_regions(size, found, labels).round().clip(0).astype(int):
        drawn[y1:y2, x1:x2] = 128
    np.testing.assert_array_equal(drawn, image)


def test_the_inside_of_a_large_face_is_no_region() -> None:
    found = Detections(
        np.array([[100, 100, 700, 700]], np.float32),
        np.array([0.9], np.float32),
        np.full((1, 5, 2), 300, np.float32),
        width=800,
        height=800,
    )
    covered = np.zeros((800, 800), bool)
    for x1, y1, x2, y2 in drawn_regions((800, 800), found).astype(int):
        covered[max(0, y1) : y2, max(0, x1) : x2] = True
    assert 0 < covered.mean() < 0.1
