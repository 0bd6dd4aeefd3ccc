"""The examples in compiled languages: built, run on a photo, and held against the detector."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra train is not installed")

from featherface import Detector
from featherface.export.export import export_model
from featherface.export.options import Options, find_format
from featherface.export.snippets import write_snippet
from featherface.images import resize

ANDROID = Path(__file__).parent / "android"
LITERT = Path(__file__).parent / "data" / "nano_b-fp16-320x320.tflite"

pytestmark = pytest.mark.slow


def _run(command, folder):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _torchscript():
    from torch.utils import cpp_extension

    paths = [f"-{kind}{folder}" for folder in cpp_extension.library_paths() for kind in ("L", "Wl,-rpath,")]
    includes = [f"-I{folder}" for folder in cpp_extension.include_paths()]
    return [*includes, *paths, "-Wl,--no-as-needed", "-ltorch_cpu", "-ltorch", "-lc10"]


def _executorch():
    """Its wheel brings headers and libraries; backends and kernels enrol themselves, so none may be dropped."""
    package = pytest.importorskip("executorch", reason="ExecuTorch is not installed")
    folder = Path(package.__path__[0])
    names = ("", "_backend_xnnpack", "_kernels_optimized", "_kernels_quantized", "_threadpool")
    return [
        *(
            f"-isystem{folder / 'include' / part}"
            for part in ("", "executorch/runtime/core/portable_type/c10")
        ),
        "-DC10_USING_CUSTOM_GENERATED_MACROS",
        *(f"-{kind}{folder / 'lib'}" for kind in ("L", "Wl,-rpath,")),
        "-Wl,--no-as-needed",
        *(f"-lexecutorch{name}" for name in names),
    ]


def _package(name):
    """What pkg-config says of a library; skips where it is not installed."""
    if shutil.which("g++") is None or shutil.which("pkg-config") is None:
        pytest.skip("there is no g++ or no pkg-config")
    found = subprocess.run(["pkg-config", "--cflags", "--libs", name], capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"{name}'s C++ library is not installed")
    return found.stdout.split()


FLAGS = {
    "ncnn": lambda: ["-fopenmp", *_package("ncnn")],
    "torchscript": _torchscript,
    "executorch": _executorch,
}
CPP = [
    pytest.param("ncnn", {"input_size": (320, 416)}, id="ncnn, one size"),
    pytest.param("ncnn", {}, id="ncnn, any size"),
    pytest.param("torchscript", {"input_size": (320, 416)}, id="torchscript, one size"),
    pytest.param("torchscript", {}, id="torchscript, any size"),
    pytest.param("executorch", {"input_size": (320, 416)}, id="executorch"),
    pytest.param("executorch", {"input_size": (320, 416), "with_decode": True}, id="executorch, decoded"),
]


@pytest.mark.parametrize(("name", "more"), CPP)
def test_the_cpp_examples_compile_and_find_the_detectors_face(name, more, v2, portrait, tmp_path):
    flags = [*FLAGS[name](), *_package("opencv4")]
    done = export_model(v2, "v2", tmp_path, Options(find_format(name), **more))
    program, photo = tmp_path / "faces", tmp_path / "photo.png"
    _run(["g++", "-std=c++17", "-Wall", done.snippet, "-o", program, *flags], tmp_path)
    cv2.imwrite(str(photo), resize(portrait, 640, 640)[..., ::-1])
    expected = Detector("v2").detect(resize(portrait, *((320, 320) if more else (640, 640))))
    shown = _run([program, photo], tmp_path)
    assert len(shown) == len(expected) == 1
    box = [float(value) for value in shown[0].split()[1:]]
    np.testing.assert_allclose(box, expected.boxes[0] * 640 / expected.width, atol=4)
    for wrong in ([], [str(tmp_path / "none.png")]):
        refused = subprocess.run([str(program), *wrong], capture_output=True, text=True, cwd=tmp_path)
        assert refused.returncode == 1
        assert "one picture that can be read" in refused.stderr


def _kotlin(plain, decode, folder):
    """The example's program, and the photo-to-lines command that runs it on stand-ins for what it uses of Android."""
    if shutil.which("kotlinc") is None or shutil.which("java") is None:
        pytest.skip("there is no kotlinc or no java")
    options = Options(find_format("litert"), input_size=(320, 320), with_decode=decode)
    example, program = write_snippet(folder / LITERT.name, options, plain.config), folder / "faces.jar"
    _run(["kotlinc", *ANDROID.glob("*.kt"), example, "-include-runtime", "-d", program], folder)
    switches = [f"-Dpython={sys.executable}", f"-Drun={ANDROID / 'run.py'}", "-Djava.awt.headless=true"]
    return ["java", *switches, "-cp", program, "MainKt"]


def test_the_kotlin_example_compiles_and_finds_the_detectors_face(plain, portrait, tmp_path):
    """The file itself runs in LiteRT for Python."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), resize(portrait, 480, 640)[..., ::-1])
    shown = _run([*_kotlin(plain, False, tmp_path), LITERT, photo], tmp_path)
    expected = Detector(LITERT, threads=1).detect(photo)
    values = np.array([line.split() for line in shown], float)
    assert values.shape == (len(expected), 15) and len(expected) == 1
    np.testing.assert_allclose(values[0, 0], expected.scores[0], atol=0.05)
    np.testing.assert_allclose(values[0, 1:5], expected.boxes[0], atol=6)
    np.testing.assert_allclose(values[0, 5:], expected.landmarks[0].ravel(), atol=6)


def test_the_kotlin_example_compiles_where_the_file_decodes(plain, tmp_path):
    _kotlin(plain, True, tmp_path)
