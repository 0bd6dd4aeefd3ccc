"""What was found in each frame, as JSON or CSV that grows with the video and not in memory."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from featherface.atomic import atomic_path
from featherface.errors import FeatherFaceError
from featherface.video.read import Frame, Source
from featherface.video.track import Tracked

_POINTS = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
_COLUMNS = ["frame", "time", "track", "score", "x1", "y1", "x2", "y2"]


class Records:
    """Open files for the records of one video; see `Records.open`."""

    def __init__(self, source: Source, json_file: TextIO | None, csv_file: TextIO | None) -> None:
        self._source, self._json, self._first = source, json_file, True
        self._csv: Any = csv.writer(csv_file) if csv_file is not None else None
        if self._json is not None:
            about = {
                "path": source.name,
                "width": source.width,
                "height": source.height,
                "rate": float(source.rate),
            }
            self._json.write(f'{{"video": {json.dumps(about, ensure_ascii=False)},\n"frames": [')
        if self._csv is not None:
            self._csv.writerow(_COLUMNS + [f"{point}_{axis}" for point in _POINTS for axis in "xy"])

    @classmethod
    @contextmanager
    def open(cls, source: Source, json_target: str | None, csv_target: str | None) -> Iterator[Records]:
        """Records into the named files (`-`: standard output), which appear when the video is done."""
        with ExitStack() as stack:
            targets = [_open(stack, target) if target else None for target in (json_target, csv_target)]
            records = cls(source, *targets)
            yield records
            if records._json is not None:
                records._json.write("\n]}\n")

    def write(self, frame: Frame, tracked: Tracked) -> None:
        """Add one frame."""
        seconds = round(float(frame.pts * self._source.time_base), 6)
        faces = [
            {"track": int(track) if track >= 0 else None, **face}
            for track, face in zip(tracked.ids, tracked.found.to_dict(), strict=True)
        ]
        if self._json is not None:
            entry = {"frame": frame.index, "time": seconds, "detected": tracked.seen, "faces": faces}
            self._json.write(("\n" if self._first else ",\n") + json.dumps(entry))
            self._first = False
        if self._csv is not None:
            for face in faces:
                points = [value for point in face["landmarks"] for value in point]
                track = "" if face["track"] is None else face["track"]
                self._csv.writerow([frame.index, seconds, track, face["score"], *face["box"], *points])


def _open(stack: ExitStack, target: str) -> TextIO:
    if target == "-":
        return sys.stdout
    try:
        path = stack.enter_context(atomic_path(Path(os.fspath(target))))
        return stack.enter_context(path.open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise FeatherFaceError(f"{target}: cannot be written ({error.strerror})") from error
