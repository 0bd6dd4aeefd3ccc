"""The report: one HTML file with curves, tables and pictures of what went wrong. Needs nothing beside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from featherface.atomic import write_text
from featherface.errors import DataError, ImageError, MissingExtraError
from featherface.evaluate.beyond import Beyond, Failure
from featherface.evaluate.ground_truth import SUBSETS
from featherface.evaluate.wider import WiderResult
from featherface.images import encode_image, read_image, resize

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1d2733;background:#fff}
table{border-collapse:collapse;margin:.6rem 0 1.6rem}td,th{padding:.25rem .9rem .25rem 0;text-align:right}
th{border-bottom:1px solid #9aa7b4;font-weight:600}td:first-child,th:first-child{text-align:left}
figure{display:inline-block;margin:0 .5rem .8rem 0;font-size:12px;width:8rem;vertical-align:top}
figure img{width:8rem;height:8rem;object-fit:contain;background:#eef1f4}img.curves{width:100%}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#d8dee6}img.curves{background:#fff}}
"""
_CROP, _CONTEXT = 128, 2.2

PublicCurves = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""Other detectors' curves: name -> subset -> (T, 2) precision, recall."""


def write_report(
    target: Path,
    title: str,
    facts: Sequence[str],
    result: WiderResult,
    beyond: Beyond,
    paths: Sequence[Path],
    others: PublicCurves | None = None,
) -> None:
    """Write the page atomically. `facts` are lines about model, protocol and pictures."""
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        "".join(f"<p>{html.escape(fact)}</p>" for fact in facts),
        "<h2>Average precision</h2>",
        _table(
            ("subset", "faces", "AP", "recall at one false alarm in ten pictures"),
            [
                (
                    s,
                    f"{result.faces[s]:,}",
                    f"{100 * result.ap[s]:.2f}",
                    f"{beyond.recall_at_few_alarms[s]:.1%}",
                )
                for s in SUBSETS
            ],
        ),
        f"<p>One false alarm in ten pictures is reached at a score of {beyond.threshold_at_few_alarms:.3f}.</p>",
        f'<img class="curves" alt="precision-recall curves" src="{_curves(result, beyond, others or {})}">',
        "<h2>By face height</h2>",
        _table(
            ("height", "faces", "AP"),
            [(p.name, f"{p.faces:,}", f"{100 * p.ap:.2f}") for p in beyond.by_height],
        ),
        "<h2>By event, worst first</h2>",
        _table(
            ("event", "faces", "AP"),
            [(p.name, f"{p.faces:,}", f"{100 * p.ap:.1f}") for p in beyond.by_event if p.faces],
        ),
        "<h2>Calibration</h2><p>How often detections of a score were right (faces the protocol ignores left out).</p>",
        _table(
            ("scores", "detections", "mean score", "right"),
            [
                (
                    f"{b.low:.1f} to {b.high:.1f}",
                    f"{b.detections:,}",
                    f"{b.mean_score:.3f}",
                    f"{b.precision:.1%}",
                )
                for b in beyond.calibration
            ],
        ),
        "<h2>Largest faces missed</h2><p>At that score. The box is the label.</p>",
        _gallery(beyond.misses, paths),
        "<h2>Surest false alarms</h2><p>Some are faces that nobody labelled.</p>",
        _gallery(beyond.alarms, paths),
    ]
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
    page += f"<style>{_STYLE}</style>{''.join(sections)}</html>\n"
    write_text(target, page)


def read_public_curves(folder: Path) -> PublicCurves:
    """The toolkit's `wider_pr_info_<name>_<subset>_val.mat` files of a folder; DataError names a bad one."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingExtraError("scipy", "evaluate") from error
    curves: dict[str, dict[str, NDArray[np.float64]]] = {}
    for path in sorted(folder.rglob("wider_pr_info_*_val.mat")):
        name, subset = path.stem.removeprefix("wider_pr_info_").removesuffix("_val").rsplit("_", 1)
        try:
            values = np.asarray(loadmat(path)["pr_cruve"], np.float64)
        except (KeyError, ValueError, OSError, NotImplementedError) as error:
            raise DataError(f"{path}: not one of the toolkit's curve files ({error})") from error
        curves.setdefault(name, {})[subset] = values
    if not curves:
        raise DataError(f"{folder}: holds no wider_pr_info_<name>_<subset>_val.mat")
    return curves


def _curves(result: WiderResult, beyond: Beyond, others: PublicCurves) -> str:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtraError("matplotlib", "evaluate") from error

    figure, axes = pyplot.subplots(1, 4, figsize=(15, 3.8))
    for axis, subset in zip(axes, SUBSETS, strict=False):
        for name, curves in others.items():
            if subset in curves:
                axis.plot(curves[subset][:, 1], curves[subset][:, 0], lw=0.8, alpha=0.6, label=name)
        found = result.curves[subset]
        axis.plot(found.recall, found.precision, lw=2, color="#c0392b", label=f"this: {100 * found.ap:.1f}")
        axis.set(title=subset, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axis.legend(fontsize=7, loc="lower left")
        axis.grid(alpha=0.3)
    scores = [b.mean_score for b in beyond.calibration]
    axes[3].plot([0, 1], [0, 1], color="#9aa7b4", lw=0.8)
    axes[3].plot(scores, [b.precision for b in beyond.calibration], "o-", color="#2c5f8a")
    axes[3].set(title="calibration", xlabel="score", ylabel="right", xlim=(0, 1), ylim=(0, 1.02))
    axes[3].grid(alpha=0.3)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    pyplot.close(figure)
    return _data_url(buffer.getvalue(), "png")


def _gallery(failures: Sequence[Failure], paths: Sequence[Path]) -> str:
    cells = []
    for failure in failures:
        try:
            crop = _crop(read_image(paths[failure.picture]), failure.box)
        except ImageError:
            continue
        _, _, width, height = failure.box
        caption = f"{width:.0f}x{height:.0f} px" + (f", score {failure.score:.2f}" if failure.score else "")
        name = html.escape(paths[failure.picture].name)
        source = _data_url(encode_image(crop, ".jpg"), "jpeg")
        cells.append(
            f'<figure><img src="{source}" alt="{name}" title="{name}"><figcaption>{caption}</figcaption></figure>'
        )
    return "".join(cells) or "<p>None.</p>"


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


def _data_url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    heads = "".join(f"<th>{html.escape(h)}</th>" for h in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row) + "</tr>" for row in rows)
    return f"<table><tr>{heads}</tr>{body}</table>"
