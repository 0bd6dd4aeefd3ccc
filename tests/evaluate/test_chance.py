"""How far a difference in AP may be chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featherface.evaluate.chance import Difference, differences, in_words
from featherface.evaluate.ground_truth import ImageTruth
from featherface.evaluate.wider import match_all, result_of

FACE = np.array([10.0, 10.0, 40.0, 40.0])
FAR = np.array([200.0, 200.0, 40.0, 40.0])


def pictures(count, subsets=("easy", "medium", "hard")):
    """A face each, which counts in all subsets."""
    counted = {subset: np.array([True]) for subset in subsets}
    return [ImageTruth("event", str(i), FACE[None], dict(counted)) for i in range(count)]


def matches(truths, found):
    """What meets the faces where `found` says (whether the face is found, the score) for each picture."""
    rows = {
        (t.event, t.name): np.append(FACE if right else FAR, score)[None]
        for t, (right, score) in zip(truths, found, strict=True)
    }
    return match_all(rows, truths)


def test_two_alike_differ_by_nothing_and_by_no_chance():
    truths = pictures(30)
    met = matches(truths, [(i % 3 > 0, 0.2 + i / 50) for i in range(30)])
    found = differences(met, met, truths)
    assert set(found) == {"easy", "medium", "hard"}
    assert all(d == Difference(0, 0, 0) for d in found.values())


@pytest.mark.parametrize(
    ("missed_by_one", "missed_by_other", "told_apart"),
    [
        pytest.param(range(0), range(20), True, id="better everywhere that it matters"),
        pytest.param(range(20), range(0), True, id="worse: the interval lies below zero"),
        pytest.param(range(20), range(20, 39), False, id="each misses what the other finds"),
        pytest.param(range(0), range(1), False, id="one picture in forty is chance"),
    ],
)
def test_a_difference_is_told_apart_when_many_pictures_agree_on_it(
    missed_by_one, missed_by_other, told_apart
):
    truths = pictures(40)
    one, other = (
        matches(truths, [(i not in missed, 0.9 - i / 100) for i in range(40)])
        for missed in (missed_by_one, missed_by_other)
    )
    found = differences(one, other, truths)["hard"]
    assert (found.low > 0 or found.high < 0) is told_apart
    assert found.low <= found.value <= found.high


@pytest.mark.long
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.05, 1)), min_size=2, max_size=12))
def test_the_value_is_the_difference_of_the_evaluators_aps(rows):
    truths = pictures(len(rows))
    one = matches(truths, [(right, score) for right, _, score in rows])
    other = matches(truths, [(right, 1.05 - score) for _, right, score in rows])
    found = differences(one, other, truths, draws=5)
    aps = [result_of(met, truths).ap for met in (one, other)]
    for subset, difference in found.items():
        assert difference.value == pytest.approx(aps[0][subset] - aps[1][subset], abs=1e-12)


def test_subsets_without_faces_have_no_difference():
    truths = pictures(3)
    for truth in truths:
        truth.counted["easy"] = np.array([False])
    met = matches(truths, [(True, 0.9)] * 3)
    assert set(differences(met, met, truths)) == {"medium", "hard"}


def test_words_are_in_points_with_signs():
    assert in_words({"easy": Difference(-0.004, -0.0144, 0.007)}) == "Easy -0.4 (-1.4 to +0.7)"
