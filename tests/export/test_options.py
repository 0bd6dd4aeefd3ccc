"""What an export may ask for, and what is said when it may not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from featherface.errors import ConfigError, MissingExtraError, ModelError
from featherface.export import versions
from featherface.export.export import check_possible
from featherface.export.options import Options, find_format, parse_size

LIMITS = [
    pytest.param("litert", {}, "one input size", id="litert has no free size"),
    pytest.param("ncnn", {"with_nms": True}, "no suppression", id="ncnn has no suppression"),
    pytest.param("ncnn", {"with_decode": True}, "needs a fixed input size", id="ncnn decodes one size"),
    pytest.param("onnx", {"input_size": (100, 128)}, "multiples of 32", id="a side of 100"),
    pytest.param("coreml", {"input_size": (64, 64), "precision": "int8"}, "no int8", id="coreml int8"),
    pytest.param("torchscript", {"precision": "fp16"}, "no fp16", id="torchscript fp16"),
    pytest.param("onnx", {"precision": "int8"}, "--calibration", id="int8 without pictures"),
    pytest.param("onnx", {"calibration_images": 0}, "at least 1", id="no calibration pictures"),
    pytest.param("onnx", {"score_threshold": 1.5}, "score threshold 1.5: must lie", id="a score over 1"),
    pytest.param("onnx", {"iou_threshold": float("nan")}, "IoU threshold nan: must lie", id="no number"),
    pytest.param("onnx", {"max_detections": 0}, "max detections 0: must be", id="no faces at all"),
    pytest.param("onnx", {"calibration": Path()}, "are for int8", id="pictures without int8"),
    pytest.param("onnx", {"float_layers": ()}, "are for int8", id="float layers without int8"),
]


GROUPS = [
    pytest.param("onnx", ("bogus",), "no group of layers 'bogus'; there are backbone.stage1", id="onnx"),
    pytest.param("openvino", ("neck", "bogus"), "no group of layers 'bogus'", id="openvino"),
    pytest.param("executorch", ("context.x",), "no group of layers 'context.x'", id="executorch"),
    pytest.param("litert", ("backbone.stage2",), "no group of layers 'backbone.stage2'", id="litert"),
    pytest.param("litert", ("context.0",), "no group of layers 'context.0'", id="litert: a level"),
    pytest.param("onnx", ("bogus.0",), "no group of layers 'bogus.0'", id="a part of no group"),
]


@pytest.mark.parametrize(("name", "groups", "reason"), GROUPS)
def test_layers_that_no_network_has_cannot_stay_float(name, groups, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason):
        Options(find_format(name), (64, 64), "int8", calibration=tmp_path, float_layers=groups)


@pytest.mark.parametrize(
    ("group", "there"), [("context.0", True), ("neck", True), ("context.7", False), ("shuffle", True)]
)
def test_layers_that_this_network_lacks_cannot_stay_float(group, there, plain, examples):
    options = Options(find_format("onnx"), precision="int8", calibration=examples, float_layers=(group,))
    if there:
        check_possible(plain, options)
    else:
        with pytest.raises(ConfigError, match=f"small: has no layers '{group}'"):
            check_possible(plain, options)


@pytest.mark.parametrize(("name", "options", "reason"), LIMITS)
def test_what_a_format_cannot_do_is_said_at_once(name, options, reason):
    with pytest.raises(ConfigError, match=reason):
        Options(find_format(name), **options)


INT8 = {"precision": "int8", "calibration": Path()}


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("onnx", {}, "v2.onnx"),
        ("onnx", {**INT8, "with_nms": True}, "v2-int8-nms.onnx"),
        ("openvino", {"precision": "fp16"}, "v2-fp16.openvino.xml"),
        ("openvino", {**INT8, "input_size": (320, 640)}, "v2-int8-320x640.openvino.onnx"),
        ("openvino", {**INT8, "with_decode": True}, "v2-int8-decode.openvino.onnx"),
        ("litert", {**INT8, "input_size": (640, 640)}, "v2-int8-640x640.tflite"),
    ],
)
def test_a_files_name_says_what_is_special(name, options, expected):
    assert Options(find_format(name), **options).file_name("v2") == expected


@pytest.mark.parametrize("text", ["640", "640x", "ax640", "-64x64", "64x64x3", ""])
def test_input_sizes_that_are_none(text):
    with pytest.raises(ConfigError, match="HEIGHTxWIDTH"):
        parse_size(text)


def test_a_runtime_that_is_too_old_or_missing_is_named():
    installed = versions.installed("onnx", "no-such-package")
    assert list(installed) == ["onnx"]
    with pytest.raises(ModelError, match=r"onnx .* is installed; this needs 999\.0 or newer: pip install -U"):
        versions.require("onnx", "train", "999.0")
    with pytest.raises(MissingExtraError, match=r"pip install 'featherface\[ncnn\]'"):
        versions.require("no-such-package", "ncnn", "1.0")


def test_the_versions_in_the_json_are_those_of_all_that_an_export_needs():
    shaping = {"torch", "onnx", "onnxscript", "onnxslim"}  # the extra train's, which every export has
    assert shaping <= versions.versions().keys()


def test_replacing_an_option_checks_again():
    with pytest.raises(ConfigError):
        replace(Options(find_format("onnx")), input_size=(1, 1))
