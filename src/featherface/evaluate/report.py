"""The report: one HTML file with curves, tables and pictures of what went wrong. Needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.atomic import write_text
from featherface.errors import DataError, ImageError, MissingExtraError
from featherface.evaluate.beyond import Beyond, Failure, Part
from featherface.evaluate.coco import CocoResult
from featherface.evaluate.ground_truth import OFFICIAL_PICTURES
from featherface.evaluate.landmarks import LandmarkError
from featherface.evaluate.wider import WiderResult, average_precision, percent
from featherface.images import encode_image, read_image, resize

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem;color:#1d2733;background:#fff}
h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2.2rem 0 .3rem}p{margin:.3rem 0}
table{border-collapse:collapse;margin:.6rem 0 1rem}td,th{padding:.15rem 1rem .15rem 0;text-align:right}
th{border-bottom:1px solid #9aa7b4;font-weight:600}td:first-child,th:first-child{text-align:left}
table.facts td{text-align:left}table.facts td:first-child{color:#66727f}
td.bar{width:9rem;text-align:left;padding-right:2rem}td.bar i{display:block;height:.7rem;background:#2c5f8a}
.columns{columns:28rem 2}.columns tr{break-inside:avoid}.columns table{margin:0;width:100%}
.side{display:flex;flex-wrap:wrap;gap:1rem 2rem;align-items:center}
svg{max-width:100%;height:auto;background:#fff}.gallery{display:grid;grid-template-columns:repeat(auto-fill,8.4rem);gap:.7rem}
figure{margin:0;font-size:12px;line-height:1.3}
figure img{width:100%;aspect-ratio:1;object-fit:contain;background:#eef1f4}
figcaption span{display:block;color:#66727f;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#d8dee6}figure img{background:#20262d}}
"""
_CROP, _CONTEXT = 136, 2.6
_OURS, _GREY = "#c0392b", "#9aa7b4"

_CURVES, _WANTED = "wider_pr_info_*_val.mat", "wider_pr_info_<name>_<subset>_val.mat"

PublicCurves = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""Other detectors' curves: name -> subset -> (T, 2) precision, recall."""


def write_report(
    target: Path,
    title: str,
    facts: Mapping[str, str],
    result: WiderResult,
    beyond: Beyond,
    paths: Sequence[Path],
    others: PublicCurves | None = None,
    coco: CocoResult | None = None,
    landmarks: LandmarkError | None = None,
) -> None:
    """Write the page atomically. `facts` say which model, protocol and pictures; `others` are laid beside ours."""
    threshold = f"{beyond.threshold_at_few_alarms:.3f}"
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        _table((), list(facts.items()), "facts"),
        "<h2>Average precision</h2>",
        _average_precision(result, beyond),
        f"<p>One false alarm in ten pictures is reached at a score of {threshold}.</p>",
        _coco(coco) if coco else "",
        _curves(result, others or {}),
        _covered(result.images) if others else "",
        _landmarks(landmarks) if landmarks and landmarks.labelled else "",
        "<h2>By face height</h2>",
        _table(("height", "faces", "AP", ""), _parts(beyond.by_height)),
        "<h2>By event, worst first</h2>",
        f'<div class="columns">{_table((), _parts(p for p in beyond.by_event if p.faces))}</div>',
        "<p>Event, faces, AP.</p>",
        "<h2>Calibration</h2><p>How often detections of a score were right; faces that are ignored are left out.</p>",
        f'<div class="side">{_calibration(beyond)}{_calibration_curve(beyond)}</div>',
        f"<h2>Largest faces missed</h2><p>The label is drawn; no detection of a score over {threshold} meets it.</p>",
        _gallery(beyond.misses, paths),
        "<h2>Surest false alarms</h2><p>The detection is drawn. Some are faces that nobody labelled.</p>",
        _gallery(beyond.alarms, paths),
    ]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    page += '<meta name="viewport" content="width=device-width">'
    page += f"<style>{_STYLE}</style>{''.join(sections)}</html>\n"
    write_text(target, page)


def read_public_curves(place: Path) -> PublicCurves:
    """The toolkit's `wider_pr_info_<name>_<subset>_val.mat` files of a folder, or one of them.

    Points that are not numbers are left out. DataError names a file that is not one.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError("scipy", "evaluate") from error
    if place.is_file() and not place.match(_CURVES):
        raise DataError(f"{place}: not called {_WANTED}")
    curves: dict[str, dict[str, NDArray[np.float64]]] = {}
    for path in [place] if place.is_file() else sorted(place.rglob(_CURVES)):
        name, _, subset = path.stem.removeprefix("wider_pr_info_").removesuffix("_val").rpartition("_")
        try:
            values = np.asarray(loadmat(path)["pr_cruve"], np.float64)
        except Exception as error:  # scipy has no common class for what it raises on files of another kind
            raise DataError(f"{path}: not one of the toolkit's curve files ({error})") from error
        if values.ndim != 2 or values.shape[1] != 2:
            raise DataError(f"{path}: a curve of shape {values.shape}, not pairs of precision and recall")
        # Where nothing was detected yet, the toolkit's precision is 0/0.
        known = values[np.isfinite(values).all(1)]
        if not len(known):
            raise DataError(f"{path}: holds no point of a curve that is a number")
        curves.setdefault(name, {})[subset] = known
    if not curves:
        raise DataError(f"{place}: holds no {_WANTED}")
    return curves


def _average_precision(result: WiderResult, beyond: Beyond) -> str:
    rows = [
        (s, f"{c.faces:,}", percent(c.known_ap, 2), f"{beyond.recall_at_few_alarms[s]:.1%}")
        for s, c in result.curves.items()
    ]
    return _table(("subset", "faces", "AP", "recall at one false alarm in ten pictures"), rows)


def _coco(coco: CocoResult) -> str:
    figures = [coco.ap, coco.ap50, coco.ap75, coco.small, coco.medium, coco.large]
    head = ("COCO AP", "AP50", "AP75", "small (under 32 x 32)", "medium (to 96 x 96)", "large")
    return _table(head, [[percent(value) for value in figures]])


def _landmarks(error: LandmarkError) -> str:
    head = ("mean", "median", "faces over 10%", *(name.replace("_", " ") for name in error.by_point))
    row = [percent(v) for v in (error.mean, error.median, error.over_a_tenth, *error.by_point.values())]
    return (
        "<h2>Landmarks</h2><p>Distance to the label over the square root of the box's area, in percent, on "
        f"{error.found:,} found of {error.labelled:,} faces with labelled landmarks.</p>{_table(head, [row])}"
    )


def _parts(parts: Iterable[Part]) -> list[tuple[str | float, ...]]:
    return [(p.name, f"{p.faces:,}", percent(p.ap), p.ap) for p in parts]


def _calibration(beyond: Beyond) -> str:
    rows = [
        (f"{b.low:.1f} to {b.high:.1f}", f"{b.detections:,}", f"{b.mean_score:.3f}", f"{b.precision:.1%}")
        for b in beyond.calibration
    ]
    return _table(("scores", "detections", "mean score", "right"), rows)


def _curves(result: WiderResult, others: PublicCurves) -> str:
    """A panel per subset; the others thin, best first in the legend."""
    figure = _figure(4.6 * len(result.curves), 4.4 + 0.16 * len(others))
    panels = figure.subplots(1, len(result.curves), squeeze=False)[0]
    for axes, (subset, found) in zip(panels, result.curves.items(), strict=True):
        axes.plot(
            found.recall,
            found.precision,
            lw=2.2,
            color=_OURS,
            label=f"this: {percent(found.known_ap)}",
            zorder=9,
        )
        known = {name: curves[subset] for name, curves in others.items() if subset in curves}
        areas = {name: average_precision(curve[:, 0], curve[:, 1]) for name, curve in known.items()}
        for name in sorted(known, key=lambda name: -areas[name]):
            axes.plot(known[name][:, 1], known[name][:, 0], lw=1, label=f"{name}: {100 * areas[name]:.1f}")
        axes.set(title=subset, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
    return _svg(figure, "precision against recall")


def _covered(images: int) -> str:
    """A word of warning when curves of different pictures lie in one picture."""
    if images == OFFICIAL_PICTURES:
        return ""
    return (
        f"<p>The other detectors' curves are of all {OFFICIAL_PICTURES:,} pictures of the validation set, "
        f"this one is of {images:,}.</p>"
    )


def _calibration_curve(beyond: Beyond) -> str:
    figure = _figure(4.2, 3.6)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=_GREY, lw=1)
    scores, right = [b.mean_score for b in beyond.calibration], [b.precision for b in beyond.calibration]
    axes.plot(scores, right, "o-", color="#2c5f8a")
    axes.set(xlabel="score", ylabel="share that was right", xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    return _svg(figure, "share of right detections against score")


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "evaluate") from error
    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Any, label: str) -> str:
    """The figure as an element of the page: sharp at any zoom."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _gallery(failures: Sequence[Failure], paths: Sequence[Path]) -> str:
    cells = []
    for failure in failures:
        try:
            crop = _crop(read_image(paths[failure.picture]), failure.box)
        except ImageError:
            continue
        _, _, width, height = failure.box
        caption = f"{width:.0f} x {height:.0f} px" + (f", {failure.score:.2f}" if failure.score else "")
        name = html.escape(paths[failure.picture].name)
        source = f"data:image/jpeg;base64,{base64.b64encode(encode_image(crop, '.jpg')).decode('ascii')}"
        cells.append(
            f'<figure><img src="{source}" alt="{name}" title="{name}">'
            f"<figcaption>{caption}<span>{name}</span></figcaption></figure>"
        )
    return f'<div class="gallery">{"".join(cells)}</div>' if cells else "<p>None.</p>"


def _crop(image: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """The box with what surrounds it, drawn round, as a small picture."""
    x, y, width, height = box
    half = max(width, height, 8.0) * _CONTEXT / 2
    x0, y0 = max(0, round(x + width / 2 - half)), max(0, round(y + height / 2 - half))
    x1 = min(image.shape[1], round(x + width / 2 + half))
    y1 = min(image.shape[0], round(y + height / 2 + half))
    if x1 <= x0 or y1 <= y0:
        return np.zeros((_CROP, _CROP, 3), np.uint8)
    part = image[y0:y1, x0:x1]
    scale = _CROP / max(part.shape[:2])
    part = resize(part, max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))).copy()
    low = (round((x - x0) * scale), round((y - y0) * scale))
    high = (round((x + width - x0) * scale), round((y + height - y0) * scale))
    cv2.rectangle(part, low, high, (60, 220, 80), 1, cv2.LINE_AA)
    return part


def _table(head: Sequence[str], rows: Sequence[Sequence[str | float]], kind: str = "") -> str:
    """Words are written, a float is drawn as a bar of that share."""
    heads = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<table class="{kind}">{f"<tr>{heads}</tr>" if head else ""}{body}</table>'


def _cell(value: str | float) -> str:
    if isinstance(value, float):
        width = 0.0 if np.isnan(value) else 100 * value
        return f'<td class="bar"><i style="width:{width:.1f}%"></i></td>'
    return f"<td>{html.escape(value)}</td>"
