"""What `featherface benchmark` refuses, in one line and before it exports or measures anything."""

from __future__ import annotations

import pytest

from featherface.benchmark.run import parse_picture_size
from featherface.errors import ConfigError, MissingExtraError
from featherface.zoo import WEIGHTS

BAD = [
    pytest.param(["--sizes", "big"], "size 'big': expected 320, 640, vga", id="no size"),
    pytest.param(["--threads", "0"], "--threads '0'", id="no threads"),
    pytest.param(["--formats", "caffe"], "no format 'caffe'", id="unknown format"),
    pytest.param(
        ["--models", str(WEIGHTS / "v2.onnx"), "--formats", "caffe"], "no format 'caffe'", id="also of a file"
    ),
    pytest.param(["--formats", "onnx-int4"], "there are -fp16, -int8", id="unknown precision"),
    pytest.param(["--formats", "ncnn-bf16"], "only openvino computes in bf16", id="bf16 elsewhere"),
    pytest.param(["--models", " ,"], "--models: names none", id="no models"),
    pytest.param(
        ["--models", "x" * 300 + ".onnx"], "cannot be read (file name", id="a model's name too long"
    ),
    pytest.param(["--photo", "x" * 300], ": file name too long", id="a photo's name too long"),
    pytest.param(["--photo", "none.jpg"], "none.jpg: no such file", id="no photo"),
    pytest.param(["--picture", "a.bmp"], "must end in .png or .svg", id="a picture of another kind"),
]


@pytest.mark.parametrize(("options", "reason"), BAD)
def test_what_cannot_be_measured_is_one_line(run, options, reason):
    outcome = run("benchmark", *options)
    assert outcome.code == 1
    assert reason in outcome.err.splitlines()[-1]


UNMEASURED = [
    pytest.param(["torchscript"], "does not run libtorch's files", id="torchscript"),
    pytest.param(["coreml-fp16"], "does not run Core ML's files", id="coreml"),
    pytest.param(["onnx-int4"], "there are -fp16, -int8", id="a precision that there is not"),
    pytest.param(["ncnn-"], "there are -fp16, -int8", id="a dash too many"),
    pytest.param(["onnx-int8"], "--calibration DIR", id="int8 without pictures"),
    pytest.param(["onnx-int8", "--calibration", "none"], "none: no such folder", id="no calibration folder"),
    pytest.param(["ncnn-int8"], "no int8 export", id="a precision that the format has not"),
    pytest.param(["onnx", "--sizes", "640,big"], "size 'big'", id="no size"),
    pytest.param(["onnx", "--repeats", "1"], "at least 2 repeats", id="one repeat has no spread"),
    pytest.param(["onnx", "--warm-up", "-1"], "0 to warm up", id="fewer runs than none"),
    pytest.param(["onnx", "--models", "v2,none.onnx"], "none.onnx: no such file", id="no model file"),
    pytest.param(["onnx", "--models", "v2,none.pth"], "none.pth: no such file", id="no weights"),
    pytest.param(["litert", "--models", "bent.pth"], "no deformable convolution", id="not for this runtime"),
    pytest.param(["onnx", "--photo", __file__], "not a picture that can be decoded", id="no picture"),
    pytest.param(
        ["onnx", "--work", __file__], "a file, not a folder to write into", id="no folder to export to"
    ),
]


@pytest.mark.parametrize(("options", "reason"), UNMEASURED)
def test_what_cannot_be_measured_is_told_before_anything_is_exported(run, options, reason, monkeypatch):
    pytest.importorskip("torch", reason="the extra train is not installed")
    from featherface.export import load
    from featherface.model import PRESETS, build

    honest = load.load_any
    monkeypatch.setattr(
        load, "load_any", lambda path: build(PRESETS["v1"]) if path == "bent.pth" else honest(path)
    )
    monkeypatch.setattr("featherface.export.export.export_model", lambda *_, **__: pytest.fail("exported"))
    form, *others = options
    outcome = run("benchmark", "--formats", f"onnx-fp16,{form}", *others)
    assert outcome.code == 1 and reason in outcome.err.splitlines()[-1]


def test_a_converter_that_is_missing_is_told_before_anything_is_exported(run, monkeypatch):
    pytest.importorskip("torch", reason="the extra train is not installed")

    def missing(options):
        raise MissingExtraError("litert-torch", "litert-export")

    monkeypatch.setattr("featherface.export.litert.check_installed", missing)
    monkeypatch.setattr("featherface.export.export.export_model", lambda *_, **__: pytest.fail("exported"))
    outcome = run("benchmark", "--formats", "onnx-fp16,litert")
    assert outcome.code == 1 and "featherface[litert-export]" in outcome.err


@pytest.mark.parametrize("option", ["--json", "--picture"])
def test_a_result_that_could_not_be_written_is_told_before_anything_is_measured(
    run, option, tmp_path, monkeypatch
):
    monkeypatch.setattr("featherface.benchmark.run.measure", lambda *_: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.svg").mkdir()
    for target in (tmp_path / "file" / "x.svg", tmp_path / "folder.svg"):
        outcome = run("benchmark", option, target)
        assert outcome.code == 1
        assert f"error: {target}: " in outcome.err.splitlines()[-1]


@pytest.mark.parametrize("text", ["", "x", "0x5", "5x", "-1x5"])
def test_sizes_that_are_none(text):
    with pytest.raises(ConfigError):
        parse_picture_size(text)
