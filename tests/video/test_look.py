"""Several frames looked at at once: their order, which ones, what errors do, and how much is held back."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

from clips import portraits, write_clip

from featherface import Detections, Detector
from featherface.cli.app import build_app
from featherface.errors import ModelError, VideoError
from featherface.video import Detectors, Frame, shared_out
from featherface.video.look import looked_at

PICTURE = np.zeros((8, 8, 3), np.uint8)


@pytest.fixture(scope="module")
def clip_of_faces(examples, tmp_path_factory):
    images = [frame.image for frame in portraits(examples, 6)]
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", images)


def frames(count, error=None):
    for index in range(count):
        yield Frame(index, index, 1, PICTURE)
    if error is not None:
        raise error


def face(frame):
    """One whose left edge is the frame's number."""
    return Detections(np.float32([[frame.index, 0, 99, 9]]), np.float32([1]), np.zeros((1, 5, 2)), 99, 9)


def outcome(pairs):
    return [(frame.index, None if found is None else int(found.boxes[0, 0])) for frame, found in pairs]


@pytest.mark.parametrize("count", [1, 2, 7, 12])
@pytest.mark.parametrize(("every", "at_once"), [(1, 1), (1, 2), (1, 4), (3, 2), (50, 2)])
def test_order_and_which_are_looked_at(count, every, at_once):
    def later_ones_are_faster(frame):
        time.sleep(0.01 * (2 - frame.index % 3))
        return face(frame)

    found = outcome(looked_at(frames(count), later_ones_are_faster, every, at_once))
    wanted = [i if i % every == 0 or i == count - 1 else None for i in range(count)]
    assert found == list(enumerate(wanted))


def test_so_many_at_once_and_no_more():
    together, most = threading.Barrier(3, timeout=60), []

    def meets_two_others(frame):
        together.wait()  # breaks when there are never three
        most.append(threading.active_count())
        return face(frame)

    before = threading.active_count()
    assert len(outcome(looked_at(frames(9), meets_two_others, 1, 3))) == 9
    assert max(most) - before <= 3


@pytest.mark.parametrize("every", [1, 4])
def test_what_came_before_a_broken_end_is_looked_at(every):
    seen = []
    with pytest.raises(VideoError, match="went away"):
        for frame, found in looked_at(frames(6, VideoError("went away")), face, every, 2):
            seen.append((frame.index, found is not None))
    assert seen == [(i, i % every == 0 or i == 5) for i in range(6)]


def test_a_failing_look_is_told_in_its_place():
    def fails_on_two(frame):
        if frame.index == 2:
            raise ModelError("no memory")
        return face(frame)

    pairs = looked_at(frames(9), fails_on_two, 1, 3)
    assert [next(pairs)[0].index for _ in range(2)] == [0, 1]
    with pytest.raises(ModelError, match="no memory"):
        next(pairs)


def test_a_camera_is_not_waited_for_and_nobody_reads_ahead_for_ever():
    made, done = [], threading.Semaphore(0)

    def camera():
        for frame in frames(1000):
            made.append(frame)
            yield frame
            done.acquire(timeout=60)  # the next picture comes when this one was long looked at

    def quick(frame):
        done.release()
        return face(frame)

    pairs = looked_at(camera(), quick, 1, 4)
    assert next(pairs)[0].index == 0
    assert len(made) < 8, "a finished frame is not held back until all places are taken"
    pairs.close()
    assert len(made) < 8


def test_each_caller_has_a_detector_of_its_own():
    made, together, used = [], threading.Barrier(2, timeout=60), []

    class Fake:
        def __init__(self):
            made.append(self)

        def detect(self, image, long_side):
            together.wait()
            used.append(self)
            return Detections.empty(8, 8)

    detectors = Detectors(Fake)
    assert len(made) == 1, "the first is made at once"
    list(looked_at(frames(8), detectors.detect, 1, 2))
    assert set(used) == set(made) and len(made) == 2


def test_a_missing_model_is_told_before_the_first_frame():
    with pytest.raises(ModelError, match="nowhere"):
        Detectors(lambda: Detector("nowhere"))


@pytest.mark.parametrize(
    ("width", "height", "threads", "wanted"),
    [
        (1280, 720, 1, (1, 1)),
        (1280, 720, 2, (2, 1)),
        (1280, 720, 3, (3, 1)),
        (1280, 720, 16, (4, 4)),
        (1920, 1080, 4, (4, 1)),
        (3840, 2160, 4, (1, 4)),  # memory: one run of 4K takes as much as nine of 720p
        (16000, 16000, 2, (1, 2)),
    ],
)
def test_how_threads_are_shared_out(width, height, threads, wanted):
    assert shared_out(width * height, threads) == wanted
    at_once, each = shared_out(width * height)
    assert at_once >= 1 and each >= 1


def test_threads_change_nothing_that_is_found(clip_of_faces, tmp_path):
    found = []
    for threads in (1, 3):
        target = tmp_path / f"{threads}.json"
        options = ["video", str(clip_of_faces), "--json", str(target), "--threads", str(threads), "-q"]
        assert CliRunner().invoke(build_app(), options).exit_code == 0
        found.append(json.loads(target.read_text())["frames"])
    assert sum(len(frame["faces"]) for frame in found[0]) > 0
    for one, other in zip(*found, strict=True):
        assert [f["track"] for f in one["faces"]] == [f["track"] for f in other["faces"]]
        for a, b in zip(one["faces"], other["faces"], strict=True):
            np.testing.assert_allclose(a["box"], b["box"], atol=0.05)
