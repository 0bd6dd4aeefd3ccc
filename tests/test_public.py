"""What others build on: names, version, and a core that needs no torch."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import featherface
from featherface.model.config import PRESETS
from featherface.zoo import WEIGHTS, list_models

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "matplotlib", "scipy", "onnx", "PIL", "pyarrow")


def test_the_public_names():
    names = ["Detections", "Detector", "FeatherFaceError", "ModelCard", "__version__", "list_models"]
    assert sorted(featherface.__all__) == names
    assert all(hasattr(featherface, name) for name in featherface.__all__)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({}, "1", id="off by default"),
        pytest.param({"ORT_DISABLE_TELEMETRY": "0"}, "0", id="who sets it decides"),
    ],
)
def test_the_runtime_is_told_to_report_nothing(before, after):
    clean = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    code = "import os, featherface; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | before, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == after


def test_one_version_everywhere():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert featherface.__version__ == importlib.metadata.version("featherface") == declared == newest[1]


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("import featherface", id="the package"),
        pytest.param("from featherface import Detector; Detector()", id="a detector"),
        pytest.param("from featherface.cli.app import build_app; build_app()", id="the command line"),
    ],
)
def test_the_core_imports_nothing_heavy(code):
    check = f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_ships_has_a_preset_and_a_card():
    shipped = {path.stem for path in WEIGHTS.glob("*.onnx")}
    assert {card.name for card in list_models()} == shipped
    assert {name.removesuffix("_int8") for name in shipped} <= set(PRESETS)


def test_modules_stay_small_and_are_described():
    for path in (ROOT / "src").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 320, f"{path} is long"
        assert not text or ast.get_docstring(ast.parse(text)), f"{path} does not say what it is for"
