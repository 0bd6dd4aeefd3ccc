"""Imitated maps: what a linear function explains costs nothing, faces weigh half, gradients are right."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featherface.errors import ConfigError
from featherface.model import build, preset
from featherface.model.weights import save_weights
from featherface.train.augment import no_labels
from featherface.train.config import DistillConfig, TrainConfig
from featherface.train.imitate import captured, imitation_loss
from featherface.train.loading import Batch
from featherface.train.task import TrainTask
from featherface.train.teacher import TorchTeacher, make_teacher

SIZE = 64
CELLS = (8, 4, 2)


def maps(channels, seed, batch=2):
    torch.manual_seed(seed)
    return [torch.randn(batch, channels, side, side) for side in CELLS]


def scores(value=0.0, batch=2, per_cell=2):
    return torch.full((batch, per_cell * sum(side**2 for side in CELLS)), value)


def mixed(kept, seed):
    """A linear function, with an offset, of each map."""
    torch.manual_seed(seed)
    mix = torch.randn(3, kept[0].shape[1])
    return [torch.einsum("tc,bchw->bthw", mix, each) + 5 for each in kept]


@pytest.mark.parametrize(
    ("ours", "theirs", "least", "most", "reason"),
    [
        pytest.param(maps(4, 0), maps(4, 0), 0, 1e-3, "the same maps", id="same"),
        pytest.param(maps(4, 0), mixed(maps(4, 0), 1), 0, 1e-3, "all of theirs is in ours", id="linear"),
        pytest.param(mixed(maps(4, 0), 1), maps(4, 0), 0.1, 0.6, "three channels cannot hold four", id="narrower"),
        pytest.param(maps(2, 0), maps(4, 7), 0.6, 1, "nothing in common", id="unrelated"),
        pytest.param([0 * m for m in maps(4, 0)], maps(4, 7), 0.99, 1.01, "dead maps explain nothing", id="dead"),
        pytest.param(maps(4, 0), [0 * m for m in maps(4, 7)], 0, 1e-3, "nothing to explain", id="dead teacher"),
    ],
)  # fmt: skip
def test_what_no_linear_function_explains(ours, theirs, least, most, reason):
    assert least <= float(imitation_loss(ours, theirs, scores())) <= most, reason


@given(st.integers(0, 10_000), st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_neither_sides_scale_counts(seed, scale):
    ours, theirs, said = maps(3, seed), maps(5, seed + 1), torch.rand_like(scores())
    before = float(imitation_loss(ours, theirs, said))
    assert before >= 0
    louder = float(imitation_loss([scale * m for m in ours], [m / scale for m in theirs], said))
    assert louder == pytest.approx(before, abs=1e-3)


def test_places_where_the_teacher_sees_faces_weigh_half_of_their_level():
    """Theirs differs from ours in the first two rows of the finest level only."""
    ours, theirs = maps(4, 0), maps(4, 0)
    theirs[0][0, :, :2] = torch.randn(4, 2, 8, generator=torch.Generator().manual_seed(1))
    costs = []
    for picture, rows in ((0, range(2)), (0, range(4, 6)), (1, range(2))):
        said = scores(0.0)
        for cell in (8 * row + column for row in rows for column in range(8)):
            said[picture, 2 * cell + 1] = 0.9
        costs.append(float(imitation_loss(ours, theirs, said)))
    assert costs[0] > 2 * max(costs[1:]), costs


def test_the_gradient_is_that_of_the_whole_loss_though_the_solved_layer_has_none():
    """Where all cells weigh the same; there the solved layer is the best."""
    ours, theirs, said = maps(2, 3, batch=1), maps(3, 4, batch=1), scores(batch=1)
    leaves = [m.clone().requires_grad_(True) for m in ours]
    imitation_loss(leaves, theirs, said).backward()
    torch.manual_seed(9)
    way = [torch.randn_like(m) for m in ours]

    def at(step):
        return float(imitation_loss([m + step * w for m, w in zip(ours, way, strict=True)], theirs, said))

    measured = (at(1e-2) - at(-1e-2)) / 2e-2
    derived = sum(float((leaf.grad * w).sum()) for leaf, w in zip(leaves, way, strict=True))
    assert abs(measured) > 0.01, "or the case shows nothing"
    assert derived == pytest.approx(measured, abs=3e-4, rel=0.03)


def test_the_heads_inputs_are_seen_and_nothing_stays_behind():
    network = build(preset("nano_b")).eval()
    images = torch.zeros(1, 3, SIZE, SIZE)
    with captured(network) as seen:
        network(images)
    assert [tuple(m.shape[2:]) for m in seen] == [(s, s) for s in CELLS]
    assert all(torch.equal(a, b) for a, b in zip(seen, network.features(images), strict=True))
    network(images)
    assert len(seen) == 3


@pytest.mark.long
@pytest.mark.parametrize("wrapped", [False, True], ids=["one process", "as several processes hold it"])
def test_a_student_of_other_widths_learns_its_teachers_maps(wrapped):
    """Steps on the imitation alone: what it cannot explain gets less."""

    class Wrapped(torch.nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def forward(self, images):
            return self.module(images)

    torch.manual_seed(0)
    student, teacher = build(preset("nano_b")).train(), TorchTeacher(build(preset("v2")))
    config = TrainConfig(distill=DistillConfig(runtime="torch", alpha=1.0, imitation_weight=100.0))
    task = TrainTask(config, student, teacher, bf16=False)
    pixels = torch.randint(0, 256, (2, 3, SIZE, SIZE), dtype=torch.uint8)
    batch = Batch(pixels, [no_labels(), no_labels()])
    optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3)
    model, said = Wrapped(student) if wrapped else student, []
    for step in range(12):
        loss, parts = task(model, batch, step)
        said.append(parts["imitation"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert said[-1] < 0.8 * said[0], said


def test_a_recipe_whose_teacher_shows_no_maps_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r'imitation_weight needs runtime = "torch"'):
        TrainConfig(distill=DistillConfig(imitation_weight=1.0))
    exported = tmp_path / "teacher.onnx"
    exported.write_bytes(b"")
    config = DistillConfig(teacher=str(exported), runtime="torch", imitation_weight=1.0)
    with pytest.raises(ConfigError, match=r"teacher\.onnx: the maps of an exported teacher stay inside"):
        make_teacher(config, lambda *_: None, 1)


def test_a_teacher_in_torch_says_what_its_network_does(tmp_path):
    torch.manual_seed(0)
    network = build(preset("nano_b")).eval()
    save_weights(network, tmp_path / "teacher.safetensors")
    config = DistillConfig(teacher=str(tmp_path / "teacher.safetensors"), runtime="torch")
    teacher = make_teacher(config, lambda *_: None, 1)
    pixels = torch.randint(0, 256, (1, 3, SIZE, SIZE), dtype=torch.uint8)
    said, again = teacher(pixels), TorchTeacher(network)(pixels)
    assert torch.allclose(said.face_logits, again.face_logits, atol=1e-5)
    assert len(said.maps) == 3 and not any(m.requires_grad for m in said.maps)
