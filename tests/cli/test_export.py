"""`featherface export` from end to end, and everything it must refuse."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from featherface.images import read_image, to_input


@pytest.mark.long
def test_an_export_runs_as_its_own_example_says(run, tmp_path, examples):
    pytest.importorskip("openvino", reason="openvino is not installed")
    outcome = run("export", "--format", "openvino", "--input-size", "512x512", "--output", tmp_path)
    assert outcome.code == 0
    found, wanted = map(
        int, re.search(r"^faces: (\d+) of (\d+) at IoU over 0.95$", outcome.out, re.M).groups()
    )
    assert found == wanted > 0
    example = tmp_path / "v2-512x512.openvino.xml.example.py"
    done = subprocess.run(
        [sys.executable, example, examples / "eileen_collins.jpg"], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    box = json.loads(done.stdout.split(" ", 1)[1].split("] [")[0] + "]")
    assert abs(box[0] - 180) < 15 and abs(box[3] - 178) < 15
    found = run("detect", "--model", tmp_path / "v2-512x512.openvino.xml", "--json", "-", examples)
    assert found.code == 0 and len(json.loads(found.out)["images"]) == 3


@pytest.mark.long
def test_thresholds_go_into_the_graph_and_the_json(run, tmp_path, examples):
    limits = ["--score-threshold", "0.02", "--iou-threshold", "0.6", "--max-detections", "7"]
    outcome = run("export", "--model", "nano_b", "--with-nms", *limits, "--output", tmp_path)
    assert outcome.code == 0, outcome.err
    about = json.loads((tmp_path / "nano_b-nms.onnx.json").read_text())
    assert about["thresholds"] == {"score": 0.02, "iou": 0.6, "max_detections": 7}
    picture = to_input(read_image(examples / "contact_sheet.jpg"), 32)
    session = onnxruntime.InferenceSession(tmp_path / "nano_b-nms.onnx")
    boxes, scores, landmarks = session.run(["boxes", "scores", "landmarks"], {"images": picture})
    assert len(boxes) == len(scores) == len(landmarks) == 7, "the picture has more faces"


BAD = [
    pytest.param(["--format", "caffe"], "no format 'caffe'; there are onnx", id="unknown format"),
    pytest.param(["--model", "no-such"], "no-such: no such file", id="unknown model"),
    pytest.param(["--model", "v1"], "weights do not ship", id="a layout without weights"),
    pytest.param(["--input-size", "640"], "expected HEIGHTxWIDTH", id="half an input size"),
    pytest.param(["--int8"], "--calibration DIR", id="int8 without pictures"),
    pytest.param(["--int8", "--calibration", "{empty}"], "holds no pictures", id="empty calibration folder"),
    pytest.param(["--int8", "--calibration", "{empty}/x"], "no such folder", id="no calibration folder"),
    pytest.param(
        ["--int8", "--calibration", "x" * 300], "cannot be read (file", id="a calibration folder's name"
    ),
    pytest.param(["--int8", "--fp16", "--calibration", "{empty}"], "exclude each other", id="two precisions"),
    pytest.param(["--calibration", "{empty}"], "are for int8: --int8", id="calibration without int8"),
    pytest.param(["--float-layers", "neck"], "are for int8: --int8", id="float layers without int8"),
    pytest.param(["--format", "ncnn", "--with-nms"], "no suppression", id="nms where there is none"),
]


@pytest.mark.parametrize(("options", "reason"), BAD)
def test_what_cannot_be_is_one_line_and_nothing_is_written(run, options, reason, tmp_path):
    empty, output = tmp_path / "empty", tmp_path / "output"
    empty.mkdir()
    outcome = run("export", *[o.format(empty=empty) for o in options], "--output", output)
    assert outcome.code == 1
    assert reason in outcome.err.splitlines()[-1]
    assert not output.exists()


PHOTOS = [
    pytest.param("none.jpg", "none.jpg: no such file", id="no photo"),
    pytest.param("damaged.jpg", "damaged.jpg: not a picture that can be decoded", id="a damaged photo"),
]


@pytest.mark.parametrize(("photo", "reason"), PHOTOS)
def test_a_photo_that_cannot_be_read_is_told_before_anything_is_converted(
    run, photo, reason, tmp_path, monkeypatch
):
    monkeypatch.setattr("featherface.export.torchscript.convert", lambda *_: pytest.fail("converted"))
    (tmp_path / "damaged.jpg").write_text("no picture")
    outcome = run(
        "export", "--format", "torchscript", "--photos", tmp_path / photo, "--output", tmp_path / "o"
    )
    assert outcome.code == 1 and reason in outcome.err.splitlines()[-1]
    assert not (tmp_path / "o").exists()


SENSITIVITY = [
    pytest.param(["--model", "{v1}"], "has deformable convolution in int8", id="a deformable model"),
    pytest.param(["--format", "openvino"], "is measured in ONNX Runtime", id="another runtime"),
    pytest.param(["--sensitivity", "{empty}/x"], "{empty}/x", id="no labels"),
    pytest.param(["--float-layers", "bogus"], "no group of layers 'bogus'", id="no such layers"),
]


@pytest.mark.parametrize(("options", "reason"), SENSITIVITY)
def test_a_sensitivity_that_cannot_be_measured_is_one_line_and_no_header(
    run, options, reason, tmp_path, examples, monkeypatch
):
    from featherface.model import PRESETS, build

    monkeypatch.setattr("featherface.export.load.load_any", lambda path: build(PRESETS["v1"]).eval())
    names = {"v1": tmp_path / "v1.pth", "empty": tmp_path}
    given = [o.format(**names) for o in options]
    outcome = run("export", "--sensitivity", tmp_path, "--calibration", examples, *given)
    assert outcome.code == 1 and not outcome.out
    assert reason.format(**names) in outcome.err.splitlines()[-1]


def test_sensitivity_prints_the_subsets_that_the_labels_have(run, tmp_path, examples, monkeypatch):
    from featherface.export.int8 import Sensitivity

    def rows(network, options, measure, show, warn):
        show(Sensitivity("all float", {"all": 0.5}, {}))
        show(Sensitivity("all int8", {"all": 0.25}, {"all": 0.25}))

    monkeypatch.setattr("featherface.export.int8.sensitivity", rows)
    monkeypatch.setattr("featherface.cli.validation.make_measure", lambda place, images: None)
    outcome = run("export", "--sensitivity", tmp_path, "--calibration", examples)
    assert outcome.code == 0
    header, whole, int8 = (line.split() for line in outcome.out.splitlines())
    assert header[:4] == ["kept", "in", "float", "all"]
    assert whole == ["all", "float", "50.00"] and int8 == ["all", "int8", "25.00", "all", "+25.00"]


def test_an_export_without_a_folder_is_one_line(run):
    outcome = run("export", "--format", "torchscript")
    assert outcome.code == 1 and "--output DIR" in outcome.err


def test_an_output_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    outcome = run("export", "--format", "torchscript", "--output", tmp_path / "file")
    assert outcome.code == 1
    assert outcome.err.strip().endswith("file: cannot be written (file exists)")


OUT_OF_REACH = [
    pytest.param("{tmp}/" + "x" * 300, "file name too long", id="a folder's name too long"),
    pytest.param("{tmp}/locked/output", "permission denied", id="in a folder without rights"),
]


@pytest.mark.parametrize(("place", "reason"), OUT_OF_REACH)
def test_an_output_out_of_reach_is_one_line(run, place, reason, tmp_path, monkeypatch):
    honest = Path.stat

    def stat(self, **options):  # who runs the tests may be root, whom no rights stop
        if "locked" in self.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return honest(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    place = place.format(tmp=tmp_path)
    outcome = run("export", "--format", "torchscript", "--output", place)
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert place in outcome.err and f"cannot be written ({reason})" in outcome.err


@pytest.mark.long
def test_published_weights_export_under_their_own_name(run, shared, tmp_path):
    weights = shared / "published" / "featherface_v1_489015.pth"
    outcome = run("export", "--model", weights, "--format", "torchscript", "--output", tmp_path)
    assert outcome.code == 0
    assert (tmp_path / "featherface_v1_489015.torchscript.pt").is_file()
