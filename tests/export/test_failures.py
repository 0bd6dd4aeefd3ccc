"""Whatever a converter or a runtime raises is one line that says which of them, and what can be done."""

from __future__ import annotations

import errno
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra train is not installed")

from featherface.errors import FeatherFaceError, MissingExtraError, ModelError
from featherface.export import torchscript
from featherface.export.export import export_model
from featherface.export.failures import open_runner
from featherface.export.options import Options, find_format
from featherface.runtimes.versions import import_failure

OPTIONS = Options(find_format("torchscript"), input_size=(64, 64))


class ForeignError(Exception):
    """As ONNX Runtime's: of no class that says what it is."""


def _raise(error):
    def fail(*_, **__):
        raise error

    return fail


def _export(plain, folder, monkeypatch, part, value):
    monkeypatch.setattr(torchscript, part, value)
    with pytest.raises(FeatherFaceError) as caught:
        export_model(plain, "small", folder, OPTIONS, needs_faces=False)
    assert "\n" not in str(caught.value)
    assert list(folder.iterdir()) == []
    return str(caught.value)


CONVERSION = [
    pytest.param(
        ForeignError("deep\nwithin"), r"libtorch: its converter fails on this network (deep)", id="any error"
    ),
    pytest.param(ForeignError(), "fails on this network (ForeignError)", id="one that says nothing"),
    pytest.param(MemoryError(), "libtorch: memory ran out while converting", id="memory"),
    pytest.param(
        PermissionError(errno.EACCES, "Permission denied", "/opt/tool"),
        "libtorch: its converter cannot be run ([Errno 13] Permission denied: '/opt/tool')",
        id="a tool that cannot be executed",
    ),
    pytest.param(
        OSError(errno.ENOSPC, "No space left on device"),
        "{folder}: cannot be written ([Errno 28] No space left on device)",
        id="a full disk",
    ),
    pytest.param(
        ImportError("libx.so.1: no such file", name="tool.core"),
        "tool is installed but cannot be imported (libx.so.1: no such file): pip install --force-reinstall "
        "'featherface[train]'",
        id="a tool that is broken",
    ),
]


@pytest.mark.parametrize(("error", "said"), CONVERSION)
def test_what_a_converter_raises_is_one_line(error, said, plain, tmp_path, monkeypatch):
    assert said.format(folder=tmp_path) in _export(plain, tmp_path, monkeypatch, "convert", _raise(error))


@pytest.mark.parametrize("there", [False, True], ids=["made", "there before"])
def test_only_a_folder_that_was_made_for_it_goes_with_a_failed_export(there, plain, tmp_path, monkeypatch):
    folder = tmp_path / "above" / "output"
    if there:
        folder.mkdir(parents=True)
    monkeypatch.setattr(torchscript, "convert", _raise(ForeignError()))
    with pytest.raises(ModelError):
        export_model(plain, "small", folder, OPTIONS, needs_faces=False)
    assert (folder.exists(), (tmp_path / "above").exists()) == (there, there)


def test_a_converter_that_cannot_write_its_file_names_the_output(plain, tmp_path, monkeypatch):
    def full(model, path, options):
        raise OSError(errno.EIO, "Input/output error", str(path))

    said = _export(plain, tmp_path, monkeypatch, "convert", full)
    assert said.startswith(f"{tmp_path}: cannot be written (")


RUNS = [
    pytest.param(
        _raise(ForeignError("no kernel\nat 0x1")), "cannot load what was exported (no kernel)", id="loading"
    ),
    pytest.param(
        lambda *_: _raise(ForeignError("bad shape")), "cannot run what was exported (bad shape)", id="running"
    ),
    pytest.param(_raise(MemoryError()), "memory ran out while loading", id="memory when loading"),
    pytest.param(lambda *_: _raise(MemoryError()), "memory ran out while running", id="memory when running"),
    pytest.param(
        _raise(OSError("no such library")), "cannot load what was exported (no such lib", id="a library"
    ),
    pytest.param(
        lambda *_: lambda images: (np.zeros((1, 168)),),
        "cannot run what was exported (zip",
        id="too few outputs",
    ),
]


@pytest.mark.long
@pytest.mark.parametrize(("runner", "said"), RUNS)
def test_a_file_that_its_runtime_cannot_load_or_run_is_one_line(runner, said, plain, tmp_path, monkeypatch):
    found = _export(plain, tmp_path, monkeypatch, "runner", runner)
    assert said in found and found.startswith("libtorch")


def test_memory_that_runs_out_in_the_comparison_is_one_line(plain, tmp_path, monkeypatch):
    monkeypatch.setattr("featherface.export.export.compare", _raise(MemoryError()))
    said = _export(plain, tmp_path, monkeypatch, "runner", lambda *_: None)
    assert said == "libtorch: memory ran out while comparing with torch; nothing was written"


def test_onnx_runtimes_own_error_is_one_line(tmp_path):
    from featherface.export import onnx_variants

    (tmp_path / "x.onnx").write_bytes(b"no model")
    options = Options(find_format("onnx"), input_size=(64, 64), with_decode=True)
    with pytest.raises(ModelError, match=r"^ONNX Runtime cannot load what was exported \(.*\)$"):
        open_runner(onnx_variants, tmp_path / "x.onnx", options)


IMPORTS = [
    pytest.param(
        ModuleNotFoundError("No module named 'openvino'", name="openvino"),
        ("openvino", "openvino"),
        MissingExtraError,
        "openvino is not installed; this needs the openvino extra: pip install 'featherface[openvino]'",
        id="not there",
    ),
    pytest.param(
        ModuleNotFoundError("No module named 'ai_edge_litert'", name="ai_edge_litert"),
        ("ai-edge-litert", "litert", ("ai_edge_litert",)),
        MissingExtraError,
        "ai-edge-litert is not installed; this needs",
        id="not there, under another name",
    ),
    pytest.param(
        ImportError("libgomp.so.1: cannot open shared object file", name="ncnn.ncnn"),
        ("ncnn", "ncnn"),
        ModelError,
        "ncnn is installed but cannot be imported (libgomp.so.1: cannot open shared object file): "
        "pip install --force-reinstall 'featherface[ncnn]'",
        id="a library is missing",
    ),
    pytest.param(
        ModuleNotFoundError("No module named 'flatbuffers'", name="flatbuffers"),
        ("executorch", "executorch", ("torch",)),
        ModelError,
        "executorch is installed but cannot be imported (No module named 'flatbuffers')",
        id="another package is missing",
    ),
    pytest.param(
        ModuleNotFoundError("No module named 'onnxscript._new'", name="onnxscript._new"),
        ("onnxscript", "train"),
        ModelError,
        "onnxscript is installed but cannot be imported (No module named 'onnxscript._new')",
        id="a part of it is missing",
    ),
    pytest.param(
        ImportError("DLL load failed\nsomewhere"),
        ("onnxruntime", None),
        ModelError,
        "onnxruntime is installed but cannot be imported (DLL load failed): pip install --force-reinstall featherface",
        id="no extra",
    ),
]


@pytest.mark.parametrize(("error", "about", "kind", "said"), IMPORTS)
def test_a_broken_runtime_is_not_called_missing(error, about, kind, said):
    found = import_failure(error, *about)
    assert type(found) is kind and said in str(found) and "\n" not in str(found)


@pytest.mark.parametrize(
    ("suffix", "package"),
    [
        (".xml", "openvino"),
        (".openvino.onnx", "openvino"),
        (".param", "ncnn"),
        (".tflite", "ai_edge_litert"),
    ],
)
def test_opening_a_file_says_that_its_runtime_is_broken(suffix, package, tmp_path, monkeypatch):
    from featherface.runtime import open_session

    class Broken:
        """What `sys.modules` holds of a package whose library cannot be loaded."""

        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] == package:
                raise ImportError("libx.so: cannot open shared object file", name=name)

    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    for name in ("openvino", "ncnn", "litert"):
        monkeypatch.delitem(sys.modules, f"featherface.runtimes.{name}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ModelError, match="is installed but cannot be imported"):
        open_session(tmp_path / f"x{suffix}")


OLD = [
    pytest.param("torchscript", "torch", "2.8", id="torch"),
    pytest.param("onnx", "onnx", "1.18", id="onnx"),
    pytest.param("onnx", "onnxslim", "0.1.50", id="onnxslim"),
]


@pytest.mark.parametrize(("name", "package", "least"), OLD)
def test_a_converter_that_is_too_old_is_refused_at_once(name, package, least, plain, tmp_path, monkeypatch):
    from importlib import metadata

    honest = metadata.version
    old = SimpleNamespace(
        version=lambda asked: "0.1.2" if asked == package else honest(asked),
        PackageNotFoundError=metadata.PackageNotFoundError,
    )
    monkeypatch.setattr("featherface.runtimes.versions.metadata", old)
    said = rf"^{package} 0\.1\.2 is installed; this needs {least} or newer: pip install -U 'featherface\[train\]'$"
    with pytest.raises(ModelError, match=said):
        export_model(plain, "small", tmp_path, Options(find_format(name)))
    assert list(tmp_path.iterdir()) == []


def test_an_onnx_runtime_that_is_too_old_is_refused_when_a_file_is_opened(tmp_path, monkeypatch):
    from featherface.runtime import OnnxSession

    monkeypatch.setattr("featherface.runtimes.versions.metadata.version", lambda package: "1.9")
    with pytest.raises(
        ModelError, match=r"onnxruntime 1\.9 is installed; this needs 1\.25 or newer: pip install -U f"
    ):
        OnnxSession(tmp_path / "x.onnx")
