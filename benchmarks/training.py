"""Images per second of training: loading, the network's step, the teacher, and the whole loop against a naive one.

    python benchmarks/training.py configs/v2_stage1.toml --repeats 5 --json training.json

Loading and augmenting is one process, as `data.workers = 1` has it; it keeps ahead when its rate is over the step's.
The naive loop decodes every picture when it is needed, in the process that trains, keeps batch norm and the plain
memory layout, and asks the teacher in torch on every batch. All that is compared takes turns, so that a slow moment of
the machine meets all of it; figures are medians over the turns, quartiles beside them.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch.optim import AdamW

from featherface.benchmark.run import machine
from featherface.export.onnx import export_onnx
from featherface.model import FeatherFace, build, preset
from featherface.model.fold import folded
from featherface.train.config import DistillConfig, TrainConfig, load_config
from featherface.train.data import Batch, CropDataset, collate, load_negatives, load_pictures, make_loader
from featherface.train.distill import Teacher
from featherface.train.task import TrainTask
from featherface.train.teacher import make_teacher

T = TypeVar("T")
Figures = dict[str, dict[str, float]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--batches", type=int, default=4, help="in each turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    config = load_config(arguments.recipe, arguments.overrides)
    pictures, negatives = load_pictures(config.data), load_negatives(config.data)
    kept = CropDataset(pictures, negatives, config.data, config.seed)
    decoded = CropDataset(pictures, negatives, replace(config.data, cache_gb=0.0), config.seed)
    kept.cache.prepare([p.path for p in [*pictures, *negatives]], lambda: None)
    count, turns = arguments.batches, arguments.repeats

    figures = {
        "loading and augmenting": in_turns(
            {"decoded pictures on disk": stream(kept, config), "decoded every time": stream(decoded, config)},
            config.batch_size * count,
            lambda batches: take(batches, count),
            turns,
        )
    }
    batches = list(make_loader(kept, config.batch_size, 0, count, 0))
    teachers = make_teachers(config.distill, arguments.threads)
    network = build(preset("v2" if config.model == "init" else config.model))
    ours, plain = stepper(network, config, fold=True), stepper(network, config, fold=False)
    figures["step, no teacher"] = in_turns(
        {"batch norm folded, channels last": ours, "batch norm, plain layout": plain},
        config.batch_size * count,
        lambda step: [step(batch, i) for i, batch in enumerate(batches)],
        turns,
    )
    if teachers:
        figures[f"teacher {Path(config.distill.teacher).stem}"] = in_turns(
            teachers,
            config.batch_size * count,
            lambda teacher: [teacher(b.images) for b in batches],
            turns,
        )
    ours_whole = Loop(
        iter(make_loader(kept, config.batch_size, 0, 1_000_000, config.data.workers)),
        stepper(network, config, fold=True, teacher=teachers.get("ONNX Runtime")),
    )
    always = replace(config, distill=replace(config.distill, every=1))
    naive = Loop(stream(decoded, config), stepper(network, always, fold=False, teacher=teachers.get("torch")))
    loops = {"this project's": ours_whole, "naive": naive}
    # What the other's turn let the loader make ahead is used up before the clock starts.
    ahead = 3 * config.data.workers
    figures["whole loop"] = in_turns(
        loops,
        config.batch_size * count,
        lambda run: take(run.train, count),
        turns,
        ready=lambda run: take(run.batches, ahead if run is ours_whole else 0),
    )

    for title, rows in figures.items():
        print(f"\n{title:44} images/s   quartiles      ratio")
        first = next(iter(rows.values()))["median"]
        for name, row in rows.items():
            spread = f"{row['low']:.1f}-{row['high']:.1f}"
            print(f"  {name:42} {row['median']:8.1f}   {spread:13} {first / row['median']:6.2f}")
    if arguments.json:
        facts = {"recipe": arguments.recipe.name, "threads": arguments.threads, "turns": turns}
        content = {**machine(), **facts, "images_per_second": figures}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


class Loop:
    """Batches, and a training that takes one of them each time it is asked."""

    def __init__(self, batches: Iterator[Batch], step: Callable[[Batch, int], None]) -> None:
        self.batches = batches
        self.train = (step(batch, number) for number, batch in enumerate(batches))


def in_turns(
    things: dict[str, T],
    images: int,
    run: Callable[[T], object],
    turns: int,
    ready: Callable[[T], object] = lambda _: None,
) -> Figures:
    """Images per second of each thing, one turn after the other; the first turn warms up, `ready` is not timed."""
    rates: dict[str, list[float]] = {name: [] for name in things}
    for turn in range(turns + 1):
        for name, thing in things.items():
            ready(thing)
            start = time.perf_counter()
            run(thing)
            if turn:
                rates[name].append(images / (time.perf_counter() - start))
    return {name: spread(values) for name, values in rates.items()}


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, median, high = statistics.quantiles(values, n=4) if len(values) > 1 else values * 3
    return {"median": median, "low": low, "high": high}


def take(batches: Iterator[object], count: int) -> None:
    """Use up that many."""
    for _ in range(count):
        next(batches)


def stream(dataset: CropDataset, config: TrainConfig) -> Iterator[Batch]:
    """Batches made in this process, without end."""
    size, first = config.batch_size, 0
    while True:
        yield collate([dataset[i] for i in range(first, first + size)])
        first += size


def make_teachers(config: DistillConfig, threads: int) -> dict[str, Teacher]:
    """The recipe's teacher in both runtimes; an exported one only in ONNX Runtime."""
    if not config.teacher:
        return {}
    made = {"ONNX Runtime": make_teacher(replace(config, runtime="onnx"), export_onnx, threads)}
    if Path(config.teacher).suffix != ".onnx":
        made["torch"] = make_teacher(replace(config, runtime="torch"), export_onnx, threads)
    return made


def stepper(
    network: FeatherFace, config: TrainConfig, fold: bool, teacher: Teacher | None = None
) -> Callable[[Batch, int], None]:
    """A function that trains on one batch: forward, losses, backward, AdamW."""
    model = (folded(network) if fold else copy.deepcopy(network)).train()
    if fold:
        model.to(memory_format=torch.channels_last)
    task = TrainTask(config, model, teacher, bf16=False)
    optimizer = AdamW(model.parameters(), lr=1e-5)

    def step(batch: Batch, number: int) -> None:
        loss, _ = task(model, batch, number)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
