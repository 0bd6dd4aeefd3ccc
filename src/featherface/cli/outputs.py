"""Detections as a table, JSON, CSV, COCO, drawn pictures and crops. Files are written atomically."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featherface.atomic import write_bytes, write_text
from featherface.cli.targets import writing
from featherface.detections import LANDMARKS, Detections
from featherface.images import Image, encode_image

_WRITABLE = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}
_TABLE_FACES = 40


@dataclass(frozen=True)
class Result:
    """What became of one input: its faces, or one line that says why not."""

    path: str
    found: Detections | None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The entry of the JSON file."""
        if self.found is None:
            return {"path": self.path, "width": None, "height": None, "faces": [], "error": self.error}
        found = self.found
        return {
            "path": self.path,
            "width": found.width,
            "height": found.height,
            "faces": found.to_dict(),
            "error": None,
        }


def table(results: Sequence[Result]) -> str:
    """One line a face; one line a picture when there are very many faces."""
    good = [(r.path, r.found) for r in results if r.found is not None]
    total = sum(len(found) for _, found in good)
    name = max([len(path) for path, _ in good] + [7])
    if total > _TABLE_FACES:
        lines = [f"{'picture':{name}}  {'size':>11}  faces"]
        lines += [f"{p:{name}}  {f'{d.width}x{d.height}':>11}  {len(d):5}" for p, d in good]
    else:
        lines = [f"{'picture':{name}}  face  score      x1      y1      x2      y2"]
        for path, found in good:
            for i, (box, score) in enumerate(zip(found.boxes, found.scores, strict=True), 1):
                sides = "".join(f"{v:8.1f}" for v in box)
                lines.append(f"{path:{name}}  {i:4}  {score:5.3f}{sides}")
    lines.append(f"{_counted(total, 'face')} in {_counted(len(good), 'picture')}")
    return "\n".join(lines)


def write_json(target: str, results: Sequence[Result]) -> None:
    """The documented JSON, to a file or, for `-`, to standard output."""
    text = json.dumps({"images": [r.to_dict() for r in results]}, indent=1, ensure_ascii=False)
    _write(target, text + "\n")


def write_csv(target: str, results: Sequence[Result]) -> None:
    """One row a face."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    points = [f"{point}_{axis}" for point in LANDMARKS for axis in "xy"]
    writer.writerow(["path", "face", "score", "x1", "y1", "x2", "y2", *points])
    for result in results:
        for i, face in enumerate(result.found.to_dict() if result.found else [], 1):
            flat = [value for point in face["landmarks"] for value in point]
            writer.writerow([result.path, i, face["score"], *face["box"], *flat])
    _write(target, buffer.getvalue())


def write_coco(target: str, results: Sequence[Result]) -> None:
    """COCO with one category, `face`, and five keypoints."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, result in enumerate((r for r in results if r.found is not None), 1):
        assert result.found is not None
        found = result.found
        images.append({"id": number, "file_name": result.path, "width": found.width, "height": found.height})
        for face in found.to_dict():
            x1, y1, x2, y2 = face["box"]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                    "area": round((x2 - x1) * (y2 - y1), 2),
                    "iscrowd": 0,
                    "score": face["score"],
                    "keypoints": [v for x, y in face["landmarks"] for v in (x, y, 2)],
                    "num_keypoints": 5,
                }
            )
    category = {"id": 1, "name": "face", "keypoints": list(LANDMARKS), "skeleton": []}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    _write(target, json.dumps(content, ensure_ascii=False) + "\n")


def saved_as(folder: Path, output: Path) -> Path:
    """Where a picture of this relative name is saved; formats that cannot be written become PNG."""
    plain = output.suffix.lower() in _WRITABLE
    return folder / (output if plain else output.with_name(output.name + ".png"))


def save_picture(target: Path, picture: Image) -> None:
    """Write a picture where `saved_as` says."""
    with writing(target):
        write_bytes(target, encode_image(picture, target.suffix.lower()))


def save_crops(folder: Path, stem: Path, crops: Sequence[Image]) -> None:
    """Write the aligned faces of one picture, best first: `<stem>-1.png`, `<stem>-2.png`, ..."""
    for i, crop in enumerate(crops, 1):
        target = folder / stem.with_name(f"{stem.name}-{i}.png")
        with writing(target):
            write_bytes(target, encode_image(crop, ".png"))


def crop_of(path: Path) -> Path | None:
    """The stem of the picture whose crop a file of this name would be."""
    name, dash, number = path.stem.rpartition("-")
    return path.with_name(name) if name and dash and number.isdecimal() and path.suffix == ".png" else None


def _write(target: str, text: str) -> None:
    """To a file or, for `-`, to standard output, in UTF-8 whatever the console's encoding is."""
    if target != "-":
        write_text(target, text)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.flush()


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
