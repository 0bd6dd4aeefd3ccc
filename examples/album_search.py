"""Search a photo album by its faces. The album is looked at once; what was found is kept beside it.

python examples/album_search.py PHOTOS --at-least 3             group pictures
python examples/album_search.py PHOTOS --at-most 0              landscapes
python examples/album_search.py PHOTOS --at-most 1 --large 0.2  portraits: a face a fifth of the height
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from featherface import Detector
from featherface.atomic import write_text
from featherface.errors import FeatherFaceError
from featherface.images import IMAGE_SUFFIXES

INDEX = ".faces.json"


def main() -> None:
    """Index what is new, then print the photos that fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("album", type=Path)
    parser.add_argument("--at-least", type=int, default=0, metavar="FACES")
    parser.add_argument("--at-most", type=int, metavar="FACES")
    parser.add_argument("--large", type=float, default=0, help="largest face, as a share of the height")
    arguments = parser.parse_args()

    for name, entry in index(arguments.album).items():
        enough = entry["faces"] >= max(arguments.at_least, 1 if arguments.large else 0)
        few = arguments.at_most is None or entry["faces"] <= arguments.at_most
        if enough and few and entry["largest"] >= arguments.large:
            print(f"{arguments.album / name}\t{entry['faces']} faces")


def index(album: Path) -> dict[str, dict[str, Any]]:
    """Number of faces and the largest one's share of the height, for each photo; only changed ones are read."""
    file = album / INDEX
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    detector = Detector()
    entries: dict[str, dict[str, Any]] = {}
    for path in sorted(p for p in album.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
        name, changed = path.relative_to(album).as_posix(), path.stat().st_mtime_ns
        entry = known.get(name)
        if entry is None or entry["changed"] != changed:
            try:
                found = detector.detect(path)
            except FeatherFaceError as error:
                print(f"left out: {error}")
                continue
            heights = found.boxes[:, 3] - found.boxes[:, 1]
            largest = float(heights.max(initial=0)) / found.height
            entry = {"changed": changed, "faces": len(found), "largest": round(largest, 4)}
        entries[name] = entry
    write_text(file, json.dumps(entries, indent=1, ensure_ascii=False))
    return entries


if __name__ == "__main__":
    main()
