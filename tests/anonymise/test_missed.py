"""Tracker and bridge together: no frame shows a face that was found before and after."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("trackers", reason="the video extra is not installed")

from featherface import Detections
from featherface.anonymise import bridge
from featherface.anonymise.check import held_share
from featherface.video import Tracker

RATE, BRIDGE, MARGIN = 25, 50, 10


def detections(boxes, scores):
    boxes = np.float32(boxes).reshape(-1, 4)
    return Detections(boxes, np.float32(scores), np.zeros((len(boxes), 5, 2), np.float32), 1280, 720)


def hidden_shares(faces, seen, score=0.9, bridged=BRIDGE):
    """Of each face in each frame, how much is hidden; `faces` (F, N, 4), `seen` says in which frame which is found."""
    random = np.random.default_rng(0)
    tracker = Tracker(RATE, start=0.3, lost=max(1.0, bridged / RATE))
    found = []
    for frame, boxes in enumerate(faces):
        rows = [n for n in range(len(boxes)) if seen(frame, n)]
        noisy = boxes[rows] + random.normal(0, 1.5, (len(rows), 4))
        one = detections(noisy, np.full(len(rows), score) + random.normal(0, 0.01, len(rows)))
        found.append((one.boxes, tracker.update(one)))
    hidden = bridge(found, bridged, MARGIN)
    return np.stack([held_share(np.float32(b), h) for b, h in zip(faces, hidden, strict=True)])


def path(frames, left=300.0, top=200.0, side=80.0, dx=0.0):
    x = left + dx * np.arange(frames)
    return np.stack([x, np.full(frames, top), x + side, np.full(frames, top + side * 1.25)], axis=1)


def gap_of(length, start=30):
    return lambda frame, face: face > 0 or not start <= frame < start + length


@pytest.mark.parametrize(
    ("faces", "seen", "score", "why"),
    [
        *[([path(120)], gap_of(n), 0.9, f"still, missed for {n} frames") for n in (10, 26, 37, 48)],
        *[([path(120, dx=1.5)], gap_of(n), 0.9, f"moving, missed for {n} frames") for n in (26, 48)],
        *[
            ([path(120)], lambda f, _, n=n: f % n == 0, 0.9, f"still, found every {n}th frame")
            for n in (4, 6)
        ],
        *[
            ([path(121, dx=2)], lambda f, _, n=n: f % n == 0, 0.9, f"moving, every {n}th frame")
            for n in (4, 6)
        ],
        ([path(120)], lambda f, _: f % 3 != 2, 0.45, "a score that alone starts no track by default"),
        ([path(120)], lambda f, _: f % 4 == 0, 0.35, "hardly found, and seldom"),
        ([path(120), path(120, left=390)], gap_of(45), 0.9, "missed beside a neighbour who is found"),
        (
            [path(120), path(120, left=392)],
            lambda f, face: not 30 <= f < 70 if face == 0 else f % 3 == 0,
            0.9,
            "missed beside a neighbour who comes and goes",
        ),
        ([path(120), path(120, left=100, dx=4)], gap_of(45, 40), 0.9, "missed while another walks past"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_face_missed_in_between_is_hidden_in_every_frame(faces, seen, score, why):
    frames = len(faces[0])
    shares = hidden_shares(np.stack(faces, axis=1), seen, score)
    last = max(f for f in range(frames) if seen(f, 0))
    open_frames = np.flatnonzero((shares[: last + 1] < 0.8).any(axis=1))
    assert len(open_frames) == 0, f"{why}: seen in {open_frames}"


@pytest.mark.parametrize(
    ("bridged", "open_frames", "why"),
    [(10, range(40, 60), "longer than the bridge: only the margins"), (40, (), "as long as the bridge")],
)
def test_the_bridge_is_as_long_as_asked_for(bridged, open_frames, why):
    shares = hidden_shares(path(120)[:, None], lambda f, _: not 30 <= f < 70, bridged=bridged)
    assert np.flatnonzero(shares[:, 0] < 0.8).tolist() == list(open_frames), why


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ([900, 200, 980, 300], "too far away"),
        ([300, 200, 500, 450], "much larger"),
    ],
)
def test_what_cannot_be_the_same_face_is_not_joined(second, why):
    empty = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    found = [empty] * 41
    for frame, box in ((0, [300, 200, 380, 300]), (40, second)):
        found[frame] = (np.float32([box]), np.array([-1]))
    counts = [len(boxes) for boxes in bridge(found, gap=50, margin=10)]
    assert counts == [1, 1, *[0] * 37, 1, 1], why
