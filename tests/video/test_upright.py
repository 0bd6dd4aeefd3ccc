"""Pictures that are stored turned or mirrored: what is looked at, and what is written, stands upright."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import av
from clips import add_streams, portraits, run, write_clip

from featherface.video import open_video, open_writer
from featherface.video.upright import turn_of

CORNERS = {"top left": 255, "top right": 170, "bottom left": 85, "bottom right": 0}
# What is stored of an upright picture, by the name of how it is shown: EXIF's orientations 1 to 8, in that order.
STORED = [
    ("as it is", 0, False, lambda up: up),
    ("mirrored", 0, True, lambda up: up[:, ::-1]),
    ("on its head", 180, False, lambda up: up[::-1, ::-1]),
    ("upside down", 180, True, lambda up: up[::-1]),
    ("transposed", 90, True, lambda up: np.swapaxes(up, 0, 1)),
    ("to the right", 270, False, lambda up: np.rot90(up)),
    ("transversed", 270, True, lambda up: np.swapaxes(up[::-1, ::-1], 0, 1)),
    ("to the left", 90, False, lambda up: np.rot90(up, -1)),
]
EACH = pytest.mark.parametrize(
    ("rotation", "mirrored", "stored"), [row[1:] for row in STORED], ids=[row[0] for row in STORED]
)


def cornered(height=64, width=96):
    """A picture with another grey in each of its quarters."""
    rows, columns = np.indices((height, width))
    below, right = rows >= height // 2, columns >= width // 2
    grey = np.select(
        [~below & ~right, ~below & right, below & ~right], list(CORNERS.values())[:3], CORNERS["bottom right"]
    )
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def corners(image):
    """The greys of the quarters' middles, in the order of CORNERS."""
    height, width = image.shape[:2]
    return [int(image[height * y // 4, width * x // 4].mean()) for y, x in ((1, 1), (1, 3), (3, 1), (3, 3))]


@EACH
def test_all_eight_are_shown_upright_and_written_so(tmp_path, rotation, mirrored, stored):
    up = cornered()
    source = write_clip(tmp_path / "s.mp4", [stored(up)] * 4, rotation=rotation, mirrored=mirrored)
    for suffix in (".mp4", ".mkv", ".ts"):
        target = tmp_path / f"o{suffix}"
        with open_video(str(source)) as reader, open_writer(target, reader) as writer:
            assert (reader.source.width, reader.source.height) == (96, 64)
            for frame in reader.frames():
                np.testing.assert_allclose(corners(frame.image), list(CORNERS.values()), atol=8)
                # Nothing of it changes: where the planes of a turned picture were taken for upright ones, it shows.
                writer.write(frame, frame.image, np.zeros((0, 4), np.float32))
        with av.open(str(target)) as container:
            shown = next(container.decode(video=0))
            kept = rotation if suffix != ".ts" and not mirrored else 0
            assert turn_of(shown) == (kept, False), "a mirrored picture is written as it is shown"
            raw = np.rot90(shown.to_ndarray(format="rgb24"), kept // 90)
            np.testing.assert_allclose(corners(raw), list(CORNERS.values()), atol=8)


@EACH
def test_the_face_of_all_eight_is_hidden(examples, tmp_path, rotation, mirrored, stored):
    truth = portraits(examples, 2)[0]
    source = write_clip(tmp_path / "s.mp4", [stored(truth.image)] * 3, rotation=rotation, mirrored=mirrored)
    options = ["--method", "solid", "--colour", "00ff00", "--shape", "box", "-q"]
    result = run("anonymise", source, "--save", tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    x1, y1, x2, y2 = truth.boxes[0].astype(int)
    with open_video(str(tmp_path / "out" / "s.mp4")) as reader:
        for frame in reader.frames():
            green = np.abs(frame.image[y1:y2, x1:x2].astype(int) - (0, 255, 0)).max(axis=2) < 60
            assert green.mean() > 0.9


@EACH
def test_pixels_that_are_not_square_keep_their_shape(tmp_path, rotation, mirrored, stored):
    """Of a stored pixel: twice as wide as high, it is twice as high where the picture lies on its side."""
    on_its_side = rotation % 180 != 0
    wide = Fraction(1, 2) if on_its_side else Fraction(2)
    source = write_clip(
        tmp_path / "s.mp4", [stored(cornered())] * 12, rotation=rotation, mirrored=mirrored, aspect=wide
    )
    with open_video(str(source)) as reader, open_writer(tmp_path / "o.ts", reader) as writer:
        assert reader.source.aspect == wide
        for frame in reader.frames():
            writer.write(frame, frame.image)
    with open_video(str(tmp_path / "o.ts")) as reader:
        assert reader.source.aspect == 2


def cover_first(path):
    """The MP4 with the tags, and the cover in them, before the tracks: readers count it as the first stream."""
    data = path.read_bytes()
    start = data.index(b"moov") - 4
    end = start + int.from_bytes(data[start : start + 4], "big")
    boxes, at = [], start + 8
    while at < end:
        size = int.from_bytes(data[at : at + 4], "big")
        boxes.append(data[at : at + size])
        at += size
    boxes.sort(key=lambda box: box[4:8] != b"udta")
    path.write_bytes(data[: start + 8] + b"".join(boxes) + data[end:])


def test_the_turn_is_the_films_and_not_the_covers(tmp_path):
    film = write_clip(tmp_path / "film.mp4", [np.rot90(cornered(), -1)] * 4, rotation=90)
    source = add_streams(film, tmp_path / "covered.mp4")
    cover_first(source)
    with av.open(str(source)) as container:
        first = container.streams.video[0]
        assert first.disposition & first.disposition.attached_pic, "the test's cover comes first"
    with open_video(str(source)) as reader:
        assert (reader.source.rotation, reader.source.mirrored) == (90, False)
        np.testing.assert_allclose(corners(next(reader.frames()).image), list(CORNERS.values()), atol=8)
