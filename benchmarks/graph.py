"""Where an ONNX file's time goes in ONNX Runtime, on one thread, and how near the processor's peak it comes.

    python benchmarks/graph.py src/featherface/weights/v2.onnx exported/v1.onnx --json docs/numbers/graph.json

Files are run in turn, picture by picture, so that a slow moment of the machine meets all of them; the ratio
is that of the medians. The peak is what a large matrix product reaches here, in the same runtime.
"""

import argparse
import collections
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from featherface.benchmark.run import machine

WARM_UP = 3
PEAK_SIDE = 1024
WEIGHTS_AT = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Which input of a conv its weights are."""


def main() -> None:
    """Latencies and ratios of all files, then operators and the dearest layers of the first."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()

    image = (
        np.random.default_rng(0).integers(0, 256, (1, 3, arguments.size, arguments.size)).astype(np.float32)
    )
    sessions = [ort.InferenceSession(file, options()) for file in arguments.files]
    times = interleaved(sessions, image, arguments.repeats)
    first = float(np.median(times[0]))
    print(f"{arguments.size}x{arguments.size}, one thread, {arguments.repeats} runs each, interleaved")
    for file, seconds in zip(arguments.files, times, strict=True):
        low, median, high = (float(q) * 1000 for q in np.quantile(seconds, (0.1, 0.5, 0.9)))
        ratio = first * 1000 / median
        print(
            f"{file.name:28s} median {median:6.2f} ms (10% {low:.2f}, 90% {high:.2f})  first/this {ratio:.2f}"
        )

    by_operator, by_layer, macs = profile(arguments.files[0], image, arguments.repeats)
    peak = peak_rate()
    print(
        f"\n{arguments.files[0].name}: {macs / 1e6:,.0f} M multiply-adds in convs as run, {macs / first / 1e9:.1f} "
        f"G/s; a {PEAK_SIDE}-cubed product reaches {peak / 1e9:.1f} G/s: {macs / first / peak:.0%} of it"
    )
    total = sum(by_operator.values())
    print("\noperator                share")
    for name, spent in by_operator.most_common():
        if spent > total / 200:
            print(f"{name:20s} {spent / total:8.1%}")
    print("\nlayer                                                     time    share")
    for name, spent in by_layer.most_common(arguments.layers):
        print(f"{name:52s} {spent:6.0f} us {spent / total:8.1%}")
    if arguments.json:
        medians = {f.name: float(np.median(t)) * 1e3 for f, t in zip(arguments.files, times, strict=True)}
        figures = {
            **machine(),
            "size": arguments.size,
            "median_ms": medians,
            "multiply_adds": macs,
            "multiply_adds_a_second": macs / first,
            "product_multiply_adds_a_second": peak,
            "share_by_operator": {k: spent / total for k, spent in by_operator.most_common()},
            "share_by_layer": {k: spent / total for k, spent in by_layer.most_common(arguments.layers)},
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


def options(profile_to: str = "") -> ort.SessionOptions:
    """One thread."""
    made = ort.SessionOptions()
    made.intra_op_num_threads = 1
    if profile_to:
        made.enable_profiling, made.profile_file_prefix = True, profile_to
    return made


def interleaved(sessions: list[ort.InferenceSession], image: np.ndarray, repeats: int) -> list[list[float]]:
    """Seconds of each run of each session."""
    times: list[list[float]] = [[] for _ in sessions]
    for turn in range(WARM_UP + repeats):
        for session, seconds in zip(sessions, times, strict=True):
            start = time.perf_counter()
            session.run(None, {session.get_inputs()[0].name: image})
            if turn >= WARM_UP:
                seconds.append(time.perf_counter() - start)
    return times


def peak_rate() -> float:
    """Multiply-adds a second of a large matrix product."""
    sides = [PEAK_SIDE, PEAK_SIDE]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in "abc"]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "peak", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), options())
    square = np.random.default_rng(0).random(sides, dtype=np.float32)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        session.run(None, {"a": square, "b": square})
        best = min(best, time.perf_counter() - start)
    return float(PEAK_SIDE**3 / best)


def profile(
    file: Path, image: np.ndarray, repeats: int
) -> tuple[collections.Counter[str], collections.Counter[str], int]:
    """Median microseconds by operator and by layer (those of one size together); multiply-adds of all convs."""
    with tempfile.TemporaryDirectory() as folder:
        session = ort.InferenceSession(file, options(str(Path(folder) / "profile")))
        for _ in range(WARM_UP + repeats):
            session.run(None, {session.get_inputs()[0].name: image})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    runs = collections.defaultdict(list)
    about = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            runs[event["name"]].append(event["dur"])
            about[event["name"]] = event["args"]
    by_operator: collections.Counter[str] = collections.Counter()
    by_layer: collections.Counter[str] = collections.Counter()
    macs = 0
    for name, spent in runs.items():
        median = float(np.median(spent[WARM_UP:]))
        operator = about[name]["op_name"]
        sizes = [next(iter(shape.values())) for shape in about[name]["input_type_shape"][:2]]
        by_operator[operator] += median
        by_layer[f"{operator} {' x '.join(str(s) for s in sizes)}"] += median
        macs += multiply_adds(operator, about[name]["input_type_shape"], about[name]["output_type_shape"])
    return by_operator, by_layer, macs


def multiply_adds(
    operator: str, inputs: list[dict[str, list[int]]], outputs: list[dict[str, list[int]]]
) -> int:
    """Those of one conv, from the types and shapes that the profile tells; 0 for another operator."""
    if operator not in WEIGHTS_AT:
        return 0
    (weights,) = inputs[WEIGHTS_AT[operator]].values()
    (made,) = outputs[0].values()
    # int8 convs may run with the channels last.
    channels_last = made[1] != weights[0] and made[-1] == weights[0]
    return int(np.prod(weights)) * int(np.prod(made[1:-1] if channels_last else made[2:]))


if __name__ == "__main__":
    main()
