"""Images per second of training: loading, the network's step, the teacher, and the whole loop against a naive one.

    python benchmarks/training.py configs/v2_stage1.toml --repeats 5 --json training.json

Loading and augmenting is one process, as `data.workers = 1` has it; it keeps ahead when its rate is over the step's.
The naive loop decodes every picture when it is needed, in the process that trains, keeps batch norm and the plain
memory layout, and asks the teacher in torch on every batch. All that is compared takes turns, so that a slow moment of
the machine meets all of it; figures are medians over the turns, quartiles beside them. `--parts` measures some parts
only; the JSON keeps what it has of the others, if it is of the same recipe.
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
from featherface.model import FeatherFace, ModelConfig, build, preset
from featherface.model.fold import folded
from featherface.model.weights import load_weights
from featherface.train.config import DistillConfig, TrainConfig, load_config
from featherface.train.data import CropDataset, load_negatives, load_pictures
from featherface.train.depthwise import quicken
from featherface.train.distill import Teacher
from featherface.train.loading import Batch, collate, load_batches
from featherface.train.start import with_layout
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
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    config = load_config(arguments.recipe, arguments.overrides)
    bench = Bench(config, arguments.threads, arguments.batches, arguments.repeats)
    facts = {"recipe": arguments.recipe.name, "changed": arguments.overrides, "threads": arguments.threads}
    for part in arguments.parts:
        figures = PARTS[part](bench)
        for title, rows in figures.items():
            show(title, rows)
        if arguments.json:
            save(arguments.json, {**machine(), **facts}, bench, figures)


def show(title: str, rows: Figures) -> None:
    """Print one comparison; ratios are the first's rate over each."""
    print(f"\n{title:44} images/s   quartiles      ratio", flush=True)
    first = next(iter(rows.values()))["median"]
    for name, row in rows.items():
        spread = f"{row['low']:.1f}-{row['high']:.1f}"
        print(f"  {name:42} {row['median']:8.1f}   {spread:13} {first / row['median']:6.2f}", flush=True)


def layout(config: TrainConfig) -> ModelConfig:
    """The layout that the recipe trains; V2's where that is one of weights that another stage has yet to make."""
    if config.model == "init" and Path(config.init).is_file():
        base = load_weights(config.init).config
    else:
        base = preset("v2" if config.model == "init" else config.model)
    return with_layout(base, config.layout)


class Bench:
    """A recipe's pictures, network and teachers, and how long to look at each."""

    def __init__(self, config: TrainConfig, threads: int, count: int, turns: int) -> None:
        self.config, self.threads, self.count, self.turns = config, threads, count, turns
        pictures, negatives = load_pictures(config.data), load_negatives(config.data)
        self.kept = CropDataset(pictures, negatives, config.data, config.seed)
        self.decoded = CropDataset(pictures, negatives, replace(config.data, cache_gb=0.0), config.seed)
        self.kept.cache.prepare([p.path for p in [*pictures, *negatives]], lambda: None)
        self.network = build(layout(config))

    @property
    def images(self) -> int:
        """Crops in a turn."""
        return self.config.batch_size * self.count

    def batches(self) -> list[Batch]:
        """The crops of a turn, made beforehand."""
        return list(load_batches(self.kept, self.config.batch_size, 0, self.count, 0))


def loading(bench: Bench) -> dict[str, Figures]:
    """One process that makes crops."""
    streams = {
        "decoded pictures on disk": stream(bench.kept, bench.config),
        "decoded every time": stream(bench.decoded, bench.config),
    }
    figures = in_turns(streams, bench.images, lambda batches: take(batches, bench.count), bench.turns)
    return {"loading and augmenting": figures}


def steps(bench: Bench) -> dict[str, Figures]:
    """Forward, loss, backward and AdamW, in several forms."""
    network, config, batches = bench.network, bench.config, bench.batches()
    forms = {
        "batch norm folded, channels last, fp32": stepper(network, config, fold=True),
        "batch norm folded, channels last, bf16": stepper(network, config, fold=True, bf16=True),
        "the same, strided depthwise convs as torch has them": stepper(
            network, config, fold=True, bf16=True, quick=False
        ),
        "batch norm folded, plain layout, fp32": stepper(network, config, fold=True, last=False),
        "batch norm, channels last, fp32": stepper(network, config, fold=False),
        "batch norm, plain layout, fp32": stepper(network, config, fold=False, last=False),
    }

    def run(step: Callable[[Batch, int], None]) -> None:
        for number, batch in enumerate(batches):
            step(batch, number)

    return {"step, no teacher": in_turns(forms, bench.images, run, bench.turns)}


def teachers(bench: Bench) -> dict[str, Figures]:
    """The recipe's teacher in both runtimes, if it has one."""
    made, batches = make_teachers(bench.config.distill, bench.threads), bench.batches()
    if not made:
        return {}
    figures = in_turns(made, bench.images, lambda teacher: [teacher(b.images) for b in batches], bench.turns)
    return {f"teacher {Path(bench.config.distill.teacher).stem}": figures}


def loop(bench: Bench) -> dict[str, Figures]:
    """All of it together, against the naive loop."""
    network, config = bench.network, bench.config
    made = make_teachers(config.distill, bench.threads)
    ours = Loop(
        iter(load_batches(bench.kept, config.batch_size, 0, 1_000_000, config.data.workers)),
        stepper(network, config, fold=True, teacher=made.get("ONNX Runtime") or made.get("torch")),
    )
    always = replace(config, distill=replace(config.distill, every=1))
    naive = Loop(
        stream(bench.decoded, config),
        stepper(network, always, fold=False, last=False, teacher=made.get("torch")),
    )
    # What the other's turn let the loader make ahead is used up before the clock starts.
    ahead = 3 * config.data.workers
    figures = in_turns(
        {"this project's": ours, "naive": naive},
        bench.images,
        lambda run: take(run.train, bench.count),
        bench.turns,
        ready=lambda run: take(run.batches, ahead if run is ours else 0),
    )
    return {"whole loop": figures}


PARTS: dict[str, Callable[[Bench], dict[str, Figures]]] = {
    "loading": loading,
    "step": steps,
    "teacher": teachers,
    "loop": loop,
}


def save(target: Path, facts: dict[str, object], bench: Bench, figures: dict[str, Figures]) -> None:
    """Write the figures, beside those of other parts that the file has of the same recipe."""
    before = json.loads(target.read_text()) if target.exists() else {}
    same = all(before.get(key) == facts[key] for key in ("recipe", "changed", "threads"))
    kept = before["parts"] if same else {}
    how = {"turns": bench.turns, "crops_a_turn": bench.images}
    new = {title: {**how, "images_per_second": rows} for title, rows in figures.items()}
    target.write_text(json.dumps({**facts, "parts": {**kept, **new}}, indent=1) + "\n")


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
    made = {}
    if not config.imitation_weight:  # whose maps stay inside there
        made["ONNX Runtime"] = make_teacher(replace(config, runtime="onnx"), export_onnx, threads)
    if Path(config.teacher).suffix != ".onnx":
        made["torch"] = make_teacher(replace(config, runtime="torch"), export_onnx, threads)
    return made


def stepper(
    network: FeatherFace,
    config: TrainConfig,
    fold: bool,
    last: bool = True,
    bf16: bool = False,
    quick: bool = True,
    teacher: Teacher | None = None,
) -> Callable[[Batch, int], None]:
    """A function that trains on one batch: forward, losses, backward, AdamW. `last`: channels last."""
    model = (folded(network) if fold else copy.deepcopy(network)).train()
    if quick:
        quicken(model)
    if last:
        model.to(memory_format=torch.channels_last)
    else:
        # The task hands over channels last, and convs keep the layout that they are given.
        model.register_forward_pre_hook(lambda _, images: (images[0].contiguous(),))
    task = TrainTask(config, model, teacher, bf16)
    optimizer = AdamW(model.parameters(), lr=1e-5)

    def step(batch: Batch, number: int) -> None:
        loss, _ = task(model, batch, number)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
