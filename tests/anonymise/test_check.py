"""What the second look reports, given what the detector finds in the result."""

from __future__ import annotations

import numpy as np
import pytest

from featherface import Detections
from featherface.anonymise import check

HIDDEN = np.float32([[100, 100, 200, 200]])


class Finding:
    """A detector that finds one face."""

    def __init__(self, box, score):
        self.found = Detections(np.float32([box]), np.float32([score]), np.zeros((1, 5, 2)), 640, 480)

    def detect(self, picture, long_side):
        self.long_side = long_side
        return self.found


@pytest.mark.parametrize(
    ("box", "score", "visible", "why"),
    [
        ([110, 110, 190, 190], 0.9, False, "inside what is hidden"),
        ([100, 100, 220, 200], 0.9, False, "five sixths inside"),
        ([100, 100, 280, 200], 0.9, True, "only 55% inside: almost half of it is seen"),
        ([300, 100, 380, 200], 0.9, True, "elsewhere"),
        ([300, 100, 380, 200], 0.35, True, "elsewhere, with a score from which it would have been hidden"),
        ([80, 80, 260, 260], 0.35, False, "a hidden face and its surroundings, of a low score"),
        ([80, 80, 260, 260], 0.6, True, "the same of a high one"),
        ([100, 100, 280, 200], 0.55, False, "hidden for the most part, of a score hardly over low"),
        ([100, 100, 320, 200], 0.55, True, "more seen than hidden, of such a score"),
    ],
)
def test_what_counts_as_visible(box, score, visible, why):
    seen = check(Finding(box, score), np.zeros((480, 640, 3), np.uint8), HIDDEN)
    assert (len(seen.visible), len(seen.covered)) == ((1, 0) if visible else (0, 1)), why


@pytest.mark.parametrize(("size", "side"), [((480, 640), 480), ((3840, 2160), 2880), ((1, 1), 1)])
def test_a_result_is_looked_at_in_another_size(size, side):
    detector = Finding([110, 110, 190, 190], 0.9)
    check(detector, np.zeros((*size, 3), np.uint8), HIDDEN)
    assert detector.long_side == side
