"""The loop: it goes on after any stop as if nothing had happened, and never trains on nonsense."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import train

from featherface.errors import ConfigError, DataError, TrainingError
from featherface.lock import held
from featherface.train import task as task_module
from featherface.train.checkpoint import Progress
from featherface.train.config import DataSource
from featherface.train.loop import Trainer

COMMAND = [sys.executable, "-c", "from featherface.cli import main; main()", "train"]


def same(first, second):
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def wait_for(path, process, seconds=60):
    """Until the file is there, or the process has ended."""
    end = time.monotonic() + seconds
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)


LONG = 30
"""Steps of a run that is stopped: enough that it is stopped before its end."""


def state(folder):
    """Weights, their average and the optimizer of a run, as one flat dictionary of tensors and numbers."""
    flat = {}

    def walk(name, value):
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{name}.{key}", item)
        elif isinstance(value, list):
            walk(name, dict(enumerate(value)))
        else:
            flat[name] = value

    whole = torch.load(folder / "checkpoint.pt", weights_only=True)
    walk(
        "",
        {key: whole[key] for key in ("model", "average", "optimizer")} | {"step": whole["progress"]["step"]},
    )
    return flat


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.fixture(scope="module")
def undisturbed(tiny_set, tmp_path_factory):
    """The folder of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    values = ["--set", f'output="{folder}"', "--set", f"steps={LONG}"]
    subprocess.run([*COMMAND, tiny_set / "tiny.toml", *values], check=True, capture_output=True)
    return folder / "tiny"


@pytest.mark.parametrize(
    ("done", "mean", "seconds", "counted", "why"),
    [
        (100, 0.5, 0.6, 0.6, "an ordinary step"),
        (100, 0.5, 9.0, 9.0, "a slow one on a busy machine"),
        (100, 0.5, 600.0, 0.5, "a pause counts as an ordinary step"),
        (3, 0.5, 600.0, 600.0, "too few steps to know what is ordinary"),
    ],
)
def test_a_pause_does_not_use_up_the_hours(done, mean, seconds, counted, why):
    trainer = object.__new__(Trainer)
    trainer.progress = Progress(step=done + 1, seconds=done * mean)
    assert trainer._counted(seconds) == pytest.approx(counted), why


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=["kill -9", "SIGTERM", "Ctrl-C in a terminal"]
)
@pytest.mark.long
def test_a_stopped_run_goes_on_bit_for_bit(tiny_set, tmp_path, undisturbed, how):
    arguments = [*COMMAND, tiny_set / "tiny.toml", "--set", f'output="{tmp_path}"', "--set", f"steps={LONG}"]
    if how == signal.SIGINT:  # a terminal sends it to the processes that load, too
        arguments += ["--set", "data.workers=1"]
    process = subprocess.Popen(
        arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    wait_for(tmp_path / "tiny" / "checkpoint.pt", process)
    os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
    _, said = process.communicate(timeout=60)
    if how != signal.SIGKILL:
        assert process.returncode == 130, said
        assert b"go on with --resume" in said
    else:
        assert process.returncode == -signal.SIGKILL, "it was not stopped in the middle"
    resumed = subprocess.run([*arguments, "--resume"], check=True, capture_output=True, text=True)
    stopped_at = int(resumed.stderr.split("resumed at step ")[1].split()[0])
    assert 0 < stopped_at < LONG
    ours, theirs = state(tmp_path / "tiny"), state(undisturbed)
    assert ours.keys() == theirs.keys() and any(".exp_avg_sq" in key for key in ours)
    assert [key for key in ours if not equal(ours[key], theirs[key])] == []
    assert same(tmp_path / "tiny" / "last.safetensors", undisturbed / "last.safetensors")
    with (tmp_path / "tiny" / "train.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == sorted(set(steps)), "no row twice"


def test_a_finished_run_that_is_resumed_stays_as_it_is(tiny, tmp_path):
    """Also one that ends by the clock: its loader has no end."""
    config = replace(tiny, hours=1e-5)
    train(config)
    folder = tmp_path / "tiny"
    kept = {name: (folder / name).read_bytes() for name in ("train.csv", "last.safetensors")}
    outcome = train(config, resume=True)
    assert outcome.finished
    assert kept == {name: (folder / name).read_bytes() for name in kept}


@pytest.mark.long
@pytest.mark.parametrize("change", ["a box", "a picture's place"])
def test_a_run_whose_pictures_are_others_is_not_gone_on_with(tiny, tiny_set, tmp_path, change):
    """Crop i would be another one without anybody's saying so."""
    own = tmp_path / "own"
    shutil.copytree(tiny_set, own)
    config = replace(tiny, steps=1, data=replace(tiny.data, sources=(DataSource(str(own / "label.txt")),)))
    train(config)
    assert train(config, resume=True).finished
    blocks = (own / "label.txt").read_text().split("# ")
    if change == "a box":
        first, second, *rest = blocks[1].split("\n")
        blocks[1] = "\n".join([first, "1 1 " + second.split(" ", 2)[2], *rest])
    else:
        blocks[1], blocks[2] = blocks[2], blocks[1]
    (own / "label.txt").write_text("# ".join(blocks))
    with pytest.raises(TrainingError, match="pictures or labels are others than when it began"):
        train(config, resume=True)


def test_a_folder_that_another_process_trains_in_is_left_alone(tiny, tmp_path):
    with held(tmp_path / "tiny"), pytest.raises(DataError, match=r"tiny: another run writes to it"):
        train(replace(tiny, steps=1))
    assert not (tmp_path / "tiny").exists()


def test_what_a_kill_while_saving_left_is_removed(tiny, tmp_path):
    train(replace(tiny, steps=1))
    left = tmp_path / "tiny" / ".checkpoint.abcd.pt"
    left.write_bytes(b"half")
    train(replace(tiny, steps=1), resume=True)
    assert not left.exists() and (tmp_path / "tiny" / "checkpoint.pt").exists()


def test_a_run_that_is_there_is_not_written_over(tiny, tmp_path):
    train(replace(tiny, steps=1))
    kept = {path.name: path.read_bytes() for path in (tmp_path / "tiny").iterdir() if path.is_file()}
    with pytest.raises(TrainingError, match=r"a run of this name is there; --resume goes on with it"):
        train(replace(tiny, steps=1))
    assert {path.name: path.read_bytes() for path in (tmp_path / "tiny").iterdir() if path.is_file()} == kept


def test_a_resumed_run_keeps_its_precision_and_asks_no_other_teacher(tiny, tmp_path, monkeypatch):
    train(replace(tiny, steps=1))
    monkeypatch.setattr("featherface.train.stage._use_bf16", lambda *_: pytest.fail("timed anew"))
    train(replace(tiny, steps=1), resume=True)
    monkeypatch.setattr("featherface.train.stage.make_teacher", lambda *_: lambda images: None)
    monkeypatch.setattr("featherface.train.stage.check_teaches", lambda *_: None)
    with pytest.raises(TrainingError, match=r"the command that began it, featherface train"):
        train(replace(tiny, steps=1), resume=True, distilled=True)


@pytest.mark.long
@pytest.mark.parametrize(
    "left", [b"", b"\n\n", b"step,loss\n1,0.5\n\xff"], ids=["empty", "blank", "half a row"]
)
def test_a_damaged_log_keeps_no_run_from_going_on(tiny, tmp_path, left):
    train(replace(tiny, steps=1))
    (tmp_path / "tiny" / "train.csv").write_bytes(left)
    assert train(replace(tiny, steps=1), resume=True).finished


def test_a_loss_that_is_no_number_stops_with_the_batch_saved(tiny, tmp_path, monkeypatch):
    whole = task_module.TrainTask.__call__

    def poisoned(self, model, batch, step, part):
        loss, parts = whole(self, model, batch, step, part)
        return (loss * float("nan") if step == 2 else loss), parts

    monkeypatch.setattr(task_module.TrainTask, "__call__", poisoned)
    with pytest.raises(TrainingError, match=r"nan.*bad_batch_2\.npz"):
        train(tiny)
    with np.load(tmp_path / "tiny" / "bad_batch_2.npz") as batch:
        assert batch["images"].shape == (2, 3, 64, 64) and batch["images"].any()
        assert {"boxes_0", "boxes_1"} <= set(batch.files)


@pytest.mark.long
def test_hours_fit_a_whole_cycle_into_the_time(tiny):
    seconds = 3
    began = time.monotonic()
    outcome = train(replace(tiny, hours=seconds / 3600))
    took = time.monotonic() - began
    assert outcome.finished and outcome.steps > 0
    with (outcome.weights.parent / "train.csv").open() as file:
        parts = [float(row["part"]) for row in csv.DictReader(file)]
    assert parts[-1] >= 1 and took >= seconds * 0.9, "the whole time, and the cycle to its end"
    assert took < 10 * seconds, "and no more, but for what starting takes"


@pytest.mark.long
def test_distilling_learns_from_a_teacher_of_ours(tiny, tmp_path):
    teacher = train(replace(tiny, steps=1, name="teacher")).weights
    config = replace(tiny, distill=replace(tiny.distill, teacher=str(teacher), runtime="torch"))
    assert train(config, distilled=True).finished
    with (tmp_path / "tiny" / "train.csv").open() as file:
        assert all(float(row["distillation"]) > 0 for row in csv.DictReader(file))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"init": "elsewhere"}, "init", id="unknown start"),
        pytest.param({"init": "gone.safetensors"}, "gone", id="missing weights"),
        pytest.param({"model": "v7"}, "v7", id="unknown preset"),
        pytest.param({"trainable": ("heads.7",)}, "no module 'heads.7'", id="unknown module"),
        pytest.param({"trainable": ("head_attention.0",)}, "nothing that could learn", id="an empty module"),
    ],
)
def test_what_cannot_start_says_so(tiny, change, reason):
    with pytest.raises(ConfigError if "gone" not in reason else Exception, match=reason):
        train(replace(tiny, **change))


TWO = """
import sys, torch
from featherface.model import build, preset
from featherface.model.fold import folded
from featherface.train import distributed
from featherface.train.config import load_config
from featherface.train.data import CropDataset, load_negatives, load_pictures
from featherface.train.loading import load_batches
from featherface.train.task import TrainTask
from featherface.train.teacher import TorchTeacher

if __name__ == "__main__":
    recipe, target = sys.argv[1:]
    torch.set_num_threads(1)
    # Not the dynamic assignment: of two priors that are equally near a face rounding picks one.
    # Crowds damped and a teacher asked: what they sum over has to be all processes' crops, too.
    changes = ["loss.assignment=multibox", "loss.crowd_damping=0.5"]
    changes += ["distill.runtime=torch", "distill.imitation_weight=2.0"]
    config = load_config(recipe, changes)
    rank, processes = distributed.start()
    torch.manual_seed(0)
    model = folded(build(preset(config.model))).train()
    data = CropDataset(load_pictures(config.data), load_negatives(config.data), config.data, 1)
    (batch,) = load_batches(data, 4, 0, 1, 0, rank, processes)
    wrapped = distributed.wrap(model)
    torch.manual_seed(5)
    teacher = TorchTeacher(build(preset(config.model)))
    loss, parts = TrainTask(config, model, teacher, False)(wrapped, batch, 0)
    assert parts["distillation"] > 0 and parts["imitation"] > 0
    loss.backward()
    if rank == 0:
        torch.save({name: p.grad for name, p in model.named_parameters()}, target)
    distributed.stop()
"""


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_the_double_batch(tiny_set, tmp_path):
    script = tmp_path / "gradients.py"
    script.write_text(TWO)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    recipe = str(tiny_set / "tiny.toml")
    one, two = tmp_path / "one.pt", tmp_path / "two.pt"
    subprocess.run([sys.executable, script, recipe, one], check=True, env=environment, capture_output=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launched = subprocess.run(
        [*launch, script, recipe, two], env=environment, capture_output=True, text=True, timeout=300
    )
    assert launched.returncode == 0, launched.stderr[-3000:]
    alone, together = torch.load(one), torch.load(two)
    assert alone.keys() == together.keys()
    largest = max(float(gradient.abs().max()) for gradient in alone.values() if gradient is not None)
    for name, gradient in alone.items():
        if gradient is None:
            assert together[name] is None or together[name].abs().max() == 0, name
        else:
            scale = gradient.abs().max().clamp(min=1e-3 * largest)
            assert ((gradient - together[name]).abs() / scale).max() < 1e-3, name
