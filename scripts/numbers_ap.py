"""Tables of accuracy, of other detectors, and of batch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from docs_hooks import SUBSETS, render_ap
from numbers_common import load, table

from featherface.zoo import list_models


def ap() -> str:
    """AP of every shipped network, from the cards."""
    return render_ap(list_models())


def percents(ap: Mapping[str, Any], digits: int = 1) -> list[str]:
    """AP easy, medium and hard in percent."""
    return [f"{100 * ap[subset]:.{digits}f}" for subset in SUBSETS]


def peers() -> str:
    """Our networks beside other detectors."""
    rows = [("detector", "parameters", "MMACs", "MB", "network ms", "whole ms", "Easy", "Medium", "Hard")]
    for r in load("peers.json")["detectors"]:
        times = (f"{r[name]['median']:.1f}" for name in ("network_ms", "whole_ms"))
        sizes = (f"{r['parameters']:,}", f"{r['multiply_adds'] / 1e6:,.0f}", f"{r['file_bytes'] / 1e6:.2f}")
        rows.append((r["name"], *sizes, *times, *percents(r["ap"])))
    return table(rows)


def checkpoints() -> str:
    """V2 beside the three published checkpoints, run through their exported ONNX files."""
    rows = [("network", "parameters", "Easy", "Medium", "Hard")]
    for r in load("peers.json")["detectors"]:
        if r["name"] == "v2" or r["name"].startswith("featherface_"):
            name = "v2, shipped" if r["name"] == "v2" else f"`{r['name']}`, published"
            rows.append((name, f"{r['parameters']:,}", *percents(r["ap"], 2)))
    return table(rows)


def evaluator() -> str:
    """What the evaluator takes on one core."""
    rows = [("seconds on one core", "400 pictures", "3,226 pictures")]
    steps = {"files_to_ap_s": "prediction files to AP", "beyond_ap_s": "all other figures"}
    figures = load("evaluator.json")
    rows += [
        (words, *(f"{figures[size][step]:.2f}" for size in ("there", "full")))
        for step, words in steps.items()
    ]
    return table(rows)


def core() -> str:
    """What surrounds the network."""
    figures = load("core.json") | load("process.json")
    return table(
        [
            ("what", "measured"),
            ("network, 640x640 photo with ten faces", f"{figures['network_ms']:.1f} ms"),
            (
                "read, resize, decode and NMS around it",
                f"{100 * figures['around_share_of_network']:.0f}% of that",
            ),
            ("NMS of 5,000 candidates, scattered", f"{figures['nms_5000_scattered_ms']:.1f} ms"),
            ("`import featherface` beyond its libraries", f"{figures['import_featherface_adds_s']:.2f} s"),
            ("`featherface detect` of one photo, start to table", f"{figures['detect_one_photo_s']:.2f} s"),
            ("its peak memory", f"{figures['one_sample_photo_peak_mb']:.0f} MB"),
            ("peak memory, 1920x1080", f"{figures['1920x1080_peak_mb']:.0f} MB"),
            ("peak memory, 12 megapixels", f"{figures['12_megapixels_peak_mb']:.0f} MB"),
            (
                "peak memory, 100 megapixels, `--tile 1024`",
                f"{figures['100_megapixels_tiled_peak_mb']:.0f} MB",
            ),
        ]
    )


# What the cost on paper counts with: examples, said in docs/scale.md.
CORE_HOUR = 0.04
THOUSAND_READS = 0.0004


def batch_runs() -> str:
    """Whole runs of both engines on one machine: medians, and ranges where there are several."""
    rows = [("engine", "workers", "runs", "seconds", "until the first shard is done", "efficiency")]
    found = load("batch.json")["runs"]
    for engine, workers in sorted({(r["engine"], r["workers"]) for r in found}):
        runs = [r for r in found if (r["engine"], r["workers"]) == (engine, workers)]
        seconds, first = (statistics.median(r[key] for r in runs) for key in ("seconds", "first_shard_s"))
        shares = spread([r["efficiency"] for r in runs])
        rows.append((engine, str(workers), str(len(runs)), f"{seconds:.0f}", f"{first:.1f} s", shares))
    return table(rows)


def batch_simulated() -> str:
    """Ray's scheduler over workers that sleep: medians of the runs, the range where there are several."""
    rows = [
        (
            "workers",
            "processes",
            "shard",
            "runs",
            "shards/s",
            "efficiency",
            "if scheduling took no time",
            "lost between shards",
            "lost at the end",
            "cores others used",
        )
    ]
    found = load("batch_simulated.json")["simulated"]
    for length, workers in sorted({(r["shard_seconds"], r["workers"]) for r in found}):
        runs = [r for r in found if (r["shard_seconds"], r["workers"]) == (length, workers)]
        rows.append(
            (
                str(workers),
                " or ".join(str(count) for count in sorted({r["processes"] for r in runs})),
                f"{length:g} s",
                str(len(runs)),
                f"{statistics.median(r['shards_a_second'] for r in runs):.1f}",
                spread([r["efficiency"] for r in runs]),
                f"{100 * statistics.median(r['at_best'] for r in runs):.0f}%",
                spread([r["lost"]["between"] for r in runs]),
                spread([r["lost"]["after"] for r in runs]),
                f"{statistics.median(r['cores_of_others'] for r in runs):.1f}",
            )
        )
    return table(rows)


def spread(shares: list[float]) -> str:
    """The median in percent, and the range where there are several."""
    low, middle, high = (f"{100 * f(shares):.0f}" for f in (min, statistics.median, max))
    return f"{middle}%" if low == high else f"{middle}% ({low} to {high})"


def batch_cost() -> str:
    """What many pictures in a bucket take, from the measured seconds of one; requests as docs/scale.md counts them."""
    figures, bucket = load("batch.json"), load("batch_times.json")
    picture = statistics.mean(bucket["times"]["read"]) + statistics.mean(bucket["times"]["look"])
    besides = statistics.mean(bucket["times"]["rest"])
    rows = [
        (
            "pictures",
            "shards",
            "core-hours",
            "64 cores",
            "2,048 cores",
            "driver's planning",
            "requests",
            "US$",
        )
    ]
    for words, count, shard in (("1 M", 1e6, 1e3), ("100 M", 1e8, 1e3), ("10 G", 1e10, 1e4)):
        shards, each = count / shard, (shard * picture + besides) / 3600
        planning = count / 1e6 * figures["plan_s_a_million"] / 3600
        # A worker does whole shards, one after the other, and no shard is done by two.
        times = (
            duration(h) for h in (math.ceil(shards / 64) * each, math.ceil(shards / 2048) * each, planning)
        )
        listings = count / 1000
        requests = count + 16 * shards + listings
        paid = shards * each * CORE_HOUR + requests / 1000 * THOUSAND_READS
        words_of = (f"{shards:,.0f} of {shard:,.0f}", f"{shards * each:,.0f}")
        rows.append((words, *words_of, *times, f"{requests:,.0f}", f"{paid:,.0f}"))
    seconds = f"{1000 * picture:.0f} ms a picture and {besides:.2f} s a shard besides, as measured from S3:"
    return f"{seconds}\n\n{table(rows)}"


def duration(hours: float) -> str:
    """In the unit that one would use."""
    if hours < 1 / 60:
        return f"{3600 * hours:.0f} s"
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"


def claims() -> str:
    """The published V1 and V2 and our V2: the three halves of the promise."""
    names = {
        "featherface_v1_489015": "V1, published",
        "featherface_v2_493095": "V2, published",
        "v2": "V2, ours",
    }
    found = {r["name"]: r for r in load("peers.json")["detectors"]}
    base = found["featherface_v1_489015"]["network_ms"]["median"]
    rows = [("network", "network ms", "of V1's", "Easy", "Medium", "Hard")]
    for name, words in names.items():
        time = found[name]["network_ms"]["median"]
        rows.append((words, f"{time:.1f}", f"{time / base:.2f}", *percents(found[name]["ap"])))
    many = next(card for card in list_models() if card.name == "v2").ap.get("multiscale")
    if many:
        rows.append(("V2, ours, protocol `multiscale`", "", "", *percents(many)))
    return table(rows)


def heights() -> str:
    """AP by face height."""
    figures = load("limits.json")
    names = list(next(iter(figures.values()))["by_height"])
    rows = [("height of the face", "faces", *figures)]
    for name in names:
        parts = [f["by_height"][name] for f in figures.values()]
        rows.append((name, f"{parts[0]['faces']:,}", *(f"{100 * p['ap']:.1f}" for p in parts)))
    return table(rows)


def misses() -> str:
    """Recall by pose and sharpness on training pictures."""
    figures = load("limits.json")
    rows = [("faces", "how many", *figures)]
    for name in next(iter(figures.values()))["recall"]:
        parts = [f["recall"][name] for f in figures.values()]
        rows.append((name, f"{parts[0]['faces']:,}", *(f"{100 * p['recall']:.1f}%" for p in parts)))
    return table(rows)


TABLES: dict[str, Callable[[], str]] = {
    "ap": ap,
    "peers": peers,
    "checkpoints": checkpoints,
    "claims": claims,
    "heights": heights,
    "misses": misses,
    "evaluator": evaluator,
    "core": core,
    "batch_runs": batch_runs,
    "batch_simulated": batch_simulated,
    "batch_cost": batch_cost,
}
