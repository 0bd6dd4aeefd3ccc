"""`featherface video` and videos through `featherface anonymise`, on clips made here."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("trackers", reason="the video extra is not installed")

import cv2
from clips import portraits, probe, run, write_clip

from featherface import Detections
from featherface.boxes import iou_matrix
from featherface.errors import FeatherFaceError
from featherface.video import Tracked, ahead, open_video
from featherface.video.track import between

COUNT = 12


@pytest.fixture(scope="module")
def composed(examples):
    return portraits(examples, COUNT)


@pytest.fixture(scope="module")
def images(composed):
    return [frame.image for frame in composed]


@pytest.fixture(scope="module")
def clip(images, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return write_clip(path, images, sound=True, metadata={"title": "A day out", "location": "+48.1+011.6/"})


def test_frames_sound_and_times_are_kept(clip, tmp_path):
    out = tmp_path / "out.mp4"
    result = run(
        "video", clip, "--save", out, "--json", tmp_path / "o.json", "--csv", tmp_path / "o.csv", "-q"
    )
    assert result.exit_code == 0, result.output
    (before, _), (after, _) = probe(clip), probe(out)
    for key in ("audio", "times", "rate", "size", "codecs", "duration"):
        assert before[key] == after[key], key
    assert after["metadata"]["title"] == "A day out"
    frames = json.loads((tmp_path / "o.json").read_text())["frames"]
    assert [f["frame"] for f in frames] == list(range(COUNT))
    np.testing.assert_allclose([f["time"] for f in frames], before["times"], atol=1e-5)
    rows = list(csv.DictReader((tmp_path / "o.csv").open()))
    assert len(rows) == sum(len(f["faces"]) for f in frames)


def test_faces_are_where_they_are_known_to_be_and_keep_their_track(clip, composed, tmp_path):
    assert run("video", clip, "--json", tmp_path / "o.json", "-q").exit_code == 0
    frames = json.loads((tmp_path / "o.json").read_text())["frames"]
    tracks = {}
    for truth, frame in zip(composed, frames, strict=True):
        for box, known in zip(truth.boxes, truth.ids, strict=True):
            faces = [f for f in frame["faces"] if iou_matrix(np.float32([f["box"]]), box[None])[0, 0] > 0.4]
            tracks.setdefault(int(known), []).extend(f["track"] for f in faces)
    found = {known: set(ids) - {None} for known, ids in tracks.items()}
    assert sum(len(ids) for ids in tracks.values()) >= COUNT - 2
    assert all(len(ids) == 1 for ids in found.values()), f"each face keeps one track: {found}"
    assert len(set.union(*found.values())) == len(found), "two faces never share one"


def test_variable_frame_rate(images, tmp_path):
    times = list(np.cumsum([0.04, 0.1, 0.02, 0.2] * 3))
    path = write_clip(tmp_path / "vfr.mp4", images, times=times, sound=True)
    assert run("video", path, "--save", tmp_path / "out.mp4", "-q").exit_code == 0
    (before, _), (after, _) = probe(path), probe(tmp_path / "out.mp4")
    assert before["times"] == after["times"] and before["duration"] == pytest.approx(
        after["duration"], abs=0.05
    )


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_phone_clips(images, tmp_path, rotation):
    stored = [np.rot90(image, -rotation // 90) for image in images[:4]]
    path = write_clip(tmp_path / "phone.mp4", stored, rotation=rotation)
    with open_video(str(path)) as reader:
        upright = next(reader.frames()).image
    assert np.abs(upright.astype(int) - images[0]).mean() < 12
    assert (
        run("video", path, "--save", tmp_path / "out.mp4", "--json", tmp_path / "o.json", "-q").exit_code == 0
    )
    (before, shown), (after, drawn) = probe(path), probe(tmp_path / "out.mp4")
    assert before["rotation"] == after["rotation"] == rotation and before["size"] == after["size"]
    assert np.abs(shown[0].astype(int) - drawn[0]).mean() < 12
    assert json.loads((tmp_path / "o.json").read_text())["frames"][0]["faces"]


@pytest.mark.parametrize(
    ("name", "options", "cut"),
    [
        pytest.param("odd.mkv", {"pix_fmt": "yuv444p"}, (239, 319), id="odd sides"),
        pytest.param("ten.mkv", {"pix_fmt": "yuv420p10le"}, (240, 320), id="10 bit"),
        pytest.param("tiny.mkv", {"pix_fmt": "yuv444p"}, (17, 19), id="tiny"),
        pytest.param("grey.mkv", {"pix_fmt": "gray"}, (240, 320), id="grey"),
        pytest.param("raw.mkv", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, (240, 320), id="MJPEG"),
    ],
)
def test_unusual_clips(images, tmp_path, name, options, cut):
    path = write_clip(tmp_path / name, [i[: cut[0], : cut[1]] for i in images[:4]], **options)
    outputs = ["--save", tmp_path / "out.mp4", "--json", tmp_path / "o.json"]
    assert run("video", path, *outputs, "-q").exit_code == 0
    after, drawn = probe(tmp_path / "out.mp4")
    assert len(drawn) == 4
    assert after["size"] == (cut[1] + cut[1] % 2, cut[0] + cut[0] % 2)
    tracks = json.loads((tmp_path / "o.json").read_text())["frames"]
    for image, shown, frame in zip(images, drawn, tracks, strict=False):
        wanted = image[: cut[0], : cut[1]]
        if options.get("pix_fmt") == "gray":
            # PyAV's grey is of full range, and the file does not say so: whoever reads it sees more contrast.
            grey = (cv2.cvtColor(wanted, cv2.COLOR_RGB2GRAY).astype(float) - 16) * 255 / 219
            wanted = np.repeat(grey.clip(0, 255)[..., None], 3, axis=2)
        assert len(frame["faces"]) == (min(cut) > 20), "one face, where there is room for one"
        # What is drawn is left out: frames and points, and half a box around it for the label.
        apart = np.ones(cut, bool)
        for x1, y1, x2, y2 in (np.int32(face["box"]) for face in frame["faces"]):
            apart[max(0, y1 - 30) : y2 + 8, max(0, x1 - 8) : x2 + 30] = False
        difference = np.abs(shown[: cut[0], : cut[1]].astype(int) - wanted)
        assert difference[apart].mean() < 8, "the same picture"


def test_picture_sequences(images, tmp_path):
    for i, image in enumerate(images[:3]):
        cv2.imwrite(str(tmp_path / f"frame_{i:03}.png"), image[..., ::-1])
    for name in (tmp_path, tmp_path / "frame_*.png"):
        result = run("video", name, "--save", tmp_path / "out.mp4")
        assert result.exit_code == 0 and "3 frames" in result.output
    cv2.imwrite(str(tmp_path / "frame_003.png"), images[0][:100])
    result = run("video", tmp_path, "--save", tmp_path / "no.mp4")
    assert isinstance(result.exception, FeatherFaceError) and "frame_003.png: 320x100" in str(
        result.exception
    )
    assert not (tmp_path / "no.mp4").exists()


def test_every_third_frame_and_tracks_between(clip, tmp_path):
    assert run("video", clip, "--every", "3", "--json", tmp_path / "o.json", "-q").exit_code == 0
    frames = json.loads((tmp_path / "o.json").read_text())["frames"]
    assert [f["detected"] for f in frames] == [i % 3 == 0 or i == COUNT - 1 for i in range(COUNT)]
    assert any(f["faces"] and not f["detected"] for f in frames)


def test_anonymised_frames_show_no_face(clip, composed, tmp_path):
    result = run("anonymise", clip, "--save", tmp_path, "--check", "-q")
    assert result.exit_code == 0, result.output
    (before, shown), (after, hidden) = probe(clip), probe(tmp_path / "clip.mp4")
    assert before["audio"] == after["audio"] and before["times"] == after["times"]
    assert "title" not in after["metadata"] and "location" not in after["metadata"]
    for truth, original, result_frame in zip(composed, shown, hidden, strict=True):
        for x1, y1, x2, y2 in truth.boxes.astype(int):
            if min(x2 - x1, y2 - y1) < 24:
                continue
            detail = [cv2.Laplacian(i[y1:y2, x1:x2], cv2.CV_32F).std() for i in (original, result_frame)]
            assert detail[1] < 0.6 * detail[0]


def test_faces_between_two_looks_lie_between():
    def tracked(*rows):
        boxes = np.float32([[x, 0, x + 10, 10] for x, _, _ in rows])
        found = Detections(boxes, np.float32([s for _, s, _ in rows]), np.zeros((len(rows), 5, 2)), 100, 100)
        return Tracked(found, np.array([i for _, _, i in rows]))

    middle = between(
        tracked((0, 0.9, 1), (50, 0.8, 2), (70, 0.7, -1)), tracked((30, 0.9, 2), (20, 0.6, 1)), 0.5
    )
    assert dict(zip(middle.ids.tolist(), middle.found.boxes[:, 0].tolist(), strict=True)) == {
        1: 10.0,
        2: 40.0,
    }
    assert not middle.seen


def test_ahead_keeps_order_passes_errors_and_stops():
    def broken():
        yield from range(5)
        raise ValueError("here")

    with ahead(broken(), 2) as items, pytest.raises(ValueError, match="here"):
        assert [next(items) for _ in range(5)] == list(range(5))
        next(items)
    made = []
    with ahead((made.append(i) for i in range(1000)), 3) as items:
        next(items)
    assert len(made) < 20, "nobody asked for the others"
