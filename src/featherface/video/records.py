"""What was found in each frame, as JSON or CSV that grows with the video and not in memory."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from featherface.atomic import atomic_path
from featherface.detections import LANDMARKS
from featherface.errors import FeatherFaceError, reason_of
from featherface.video.read import Frame, Source
from featherface.video.track import Tracked

_COLUMNS = ["frame", "time", "track", "score", "x1", "y1", "x2", "y2"]


class _Lines:
    """A text file, or standard output, whose failures are FeatherFaceErrors that name it."""

    def __init__(self, target: str, file: TextIO) -> None:
        self._target, self._file = target, file

    def write(self, text: str) -> None:
        """What `csv.writer` asks of a file."""
        with self._named():
            self._file.write(text)

    def finish(self) -> None:
        """What is still in memory goes to the disk, which may be full."""
        with self._named():
            self._file.flush() if self._file is sys.stdout else self._file.close()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise  # whoever read standard output has seen enough
        except OSError as error:
            raise _failed(self._target, error) from error


class Records:
    """Open files for the records of one video; see `Records.open`."""

    def __init__(self, source: Source, json_file: _Lines | None, csv_file: _Lines | None) -> None:
        self._source, self._json, self._first, self._done = source, json_file, True, False
        self._files = [file for file in (json_file, csv_file) if file is not None]
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
            self._csv.writerow(_COLUMNS + [f"{point}_{axis}" for point in LANDMARKS for axis in "xy"])

    @classmethod
    @contextmanager
    def open(cls, source: Source, json_target: str | None, csv_target: str | None) -> Iterator[Records]:
        """Records into the named files (`-`: standard output), which appear when the video is done."""
        with ExitStack() as stack:
            json_file, csv_file = (_open(stack, t) if t else None for t in (json_target, csv_target))
            records = cls(source, json_file, csv_file)
            yield records
            records.finish()
            try:
                stack.close()
            except OSError as error:
                raise _failed(" or ".join(filter(None, (json_target, csv_target))), error) from error

    def finish(self) -> None:
        """Write the end. FeatherFaceError, which names the file, when there is no room for it."""
        if self._done:
            return
        self._done = True
        if self._json is not None:
            self._json.write("\n]}\n")
        for file in self._files:
            file.finish()

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


def _open(stack: ExitStack, target: str) -> _Lines:
    if target == "-":
        return _Lines(target, sys.stdout)
    try:
        path = stack.enter_context(atomic_path(Path(target)))
        file = path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise _failed(target, error) from error
    stack.callback(_close, file)
    return _Lines(target, file)


def _close(file: TextIO) -> None:
    with suppress(OSError):  # of a run that has failed; one that has not closed it before
        file.close()


def _failed(target: str, error: OSError) -> FeatherFaceError:
    name = "standard output" if target == "-" else target
    return FeatherFaceError(f"{name}: cannot be written ({reason_of(error)})")
