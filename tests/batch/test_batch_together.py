"""Pictures that go through the network together: the rows are those of pictures looked at one by one."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from featherface.batch.together import Crew, in_batches
from featherface.errors import ConfigError, ModelError
from featherface.images import new_input

COUNT = 24


@pytest.mark.parametrize(
    "look",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"flip": True}, id="with a mirrored pass"),
        pytest.param({"scales": (1.0, 1.5)}, id="two sizes"),
        pytest.param({"long_side": 200}, id="resized, which makes the sizes alike"),
        pytest.param({"tile": 96}, id="tiles"),
    ],
)
def test_batches_find_what_single_pictures_do(batch, rows, some_photos, tmp_path, monkeypatch, look):
    (some_photos / "a" / "05b.jpg").write_bytes(b"not a picture")
    sizes = []
    whole = Crew._answer
    monkeypatch.setattr(Crew, "_answer", lambda self, calls: sizes.append(len(calls)) or whole(self, calls))
    batch(some_photos, tmp_path / "one", look=look, shard_size=100)
    assert not sizes
    batch(some_photos, tmp_path / "many", look=look, shard_size=100, batch_size=4)
    assert max(sizes) == 4
    alone, together = rows(tmp_path / "one"), rows(tmp_path / "many")
    assert [row["path"] for row in together] == [row["path"] for row in alone]
    assert [row["error"] for row in together] == [row["error"] for row in alone]
    for row, other in zip(together, alone, strict=True):
        if row["error"] is None:
            for name, near in (("boxes", 1e-2), ("scores", 1e-4), ("landmarks", 1e-2)):
                np.testing.assert_allclose(
                    np.array(row[name]), np.array(other[name]), rtol=0, atol=near, err_msg=row["path"]
                )


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_holds_at_least_one(batch, photos, tmp_path, size):
    with pytest.raises(ConfigError, match=f"--batch-size {size}"):
        batch(photos, tmp_path / "out", batch_size=size)


class Network:
    """Stands for a session: tells who asked, as its scores, and cannot take more than `most`."""

    def __init__(self, most=99):
        self.most, self.runs = most, []

    def run(self, images):
        self.runs.append(images.shape)
        if len(images) > self.most:
            raise ModelError("too many")
        if (images < 0).any():
            raise ModelError("dark")
        return images[:, 0, 0], images[:, 0], images[:, 0]


def ask(crew, value, width=32, times=1):
    told = []
    for _ in range(times):
        try:
            scores, _, _ = crew.run(np.full((1, 3, 32, width), value, np.float32))
            told.append(float(scores[0, 0]))
        except ModelError as error:
            told.append(str(error))
    return {"told": told}


@pytest.mark.parametrize(
    ("most", "works", "runs", "told"),
    [
        pytest.param(9, [{}, {}, {}], [3], [[0], [1], [2]], id="all at once"),
        pytest.param(9, [{}, {"width": 64}, {}], [2, 1], [[0], [1], [2]], id="another shape goes for itself"),
        pytest.param(
            9,
            [{"times": 2}, {}, {"times": 2}],
            [3, 2],
            [[0, 0], [1], [2, 2]],
            id="one needs the network less often",
        ),
        pytest.param(
            1, [{}, {}, {}], [3, 1, 1, 1], [[0], [1], [2]], id="a network for one picture at a time"
        ),
        pytest.param(
            9, [{}, {"value": -1}, {}], [3, 1, 1, 1], [[0], ["dark"], [2]], id="an error meets only its own"
        ),
        pytest.param(9, [{}], [1], [[0]], id="one alone"),
    ],
)
def test_a_crew_runs_the_network_for_all_who_wait(most, works, runs, told):
    network = Network(most)
    crew = Crew(network, 3)
    for _ in range(2):
        network.runs.clear()
        found = crew.all([partial(ask, crew, **{"value": i, **work}) for i, work in enumerate(works)])
        assert [row["told"] for row in found] == told
        assert sorted(shape[0] for shape in network.runs) == sorted(runs)


def test_a_crew_puts_bytes_together_as_bytes():
    """Inputs in the order of a picture: a float would be four times as large."""
    network = Network()
    crew = Crew(network, 2)
    picture = np.full((32, 64, 3), 7, np.uint8)
    told = crew.all([lambda: {"told": crew.run(new_input(picture, 32, None, as_bytes=True))[0]}] * 2)
    assert network.runs == [(2, 3, 32, 64)]
    assert all(row["told"].dtype == np.uint8 and (row["told"] == 7).all() for row in told)


@pytest.mark.parametrize(
    ("sides", "most", "batches"),
    [
        pytest.param([1, 2, 1, 2], 2, [[0, 2], [1, 3]], id="two shapes that alternate"),
        pytest.param([1, 1, 1], 2, [[0, 1], [2]], id="a rest"),
        pytest.param([1, None, 1], 2, [[0, 2]], id="what is a row already is not looked at"),
        pytest.param(
            [9, *[1, 1] * 9], 2, [*[[2 * i + 1, 2 * i + 2] for i in range(9)], [0]], id="a rare shape"
        ),
        pytest.param(list(range(1, 19)), 2, [[i] for i in range(18)], id="no two alike"),
    ],
)
def test_pictures_wait_for_others_of_their_shape(sides, most, batches):
    pictures = [
        (str(i), {"path": str(i)} if side is None else np.zeros((side, side, 3), np.uint8))
        for i, side in enumerate(sides)
    ]
    looked = []

    def look(chosen):
        looked.append([int(name) for name, _ in chosen])
        return [{"path": name} for name, _ in chosen]

    rows = list(in_batches(iter(pictures), lambda picture: picture.shape[:2], look, most))
    assert looked == batches
    assert [row["path"] for row in rows] == [name for name, _ in pictures], "in their order"


def test_few_pictures_are_held_at_a_time(monkeypatch):
    """However rare the shapes: the one that waits longest goes first."""
    monkeypatch.setattr("featherface.batch.together._HELD_BATCHES", 1)
    alive = []

    def pictures():
        for i in range(1, 20):
            alive.append(i)
            yield str(i), np.zeros((i, i, 3), np.uint8)

    def look(chosen):
        assert len(alive) <= 3
        for name, _ in chosen:
            alive.remove(int(name))
        return [{"path": name} for name, _ in chosen]

    assert len(list(in_batches(pictures(), lambda picture: picture.shape[:2], look, 2))) == 19
