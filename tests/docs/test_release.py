"""The release script, and the files around the code that must agree with it."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import featherface

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_release_is_built_installed_without_torch_and_run(tmp_path):
    for package in ("build", "twine"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    command = [sys.executable, "scripts/release.py", "--dirty", "--output", tmp_path / "dist"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    if "No matching distribution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in (tmp_path / "dist").iterdir()}
    version = featherface.__version__
    assert names == {f"featherface-{version}.tar.gz", f"featherface-{version}-py3-none-any.whl"}


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        pytest.param("pyproject.toml", r'^version = "{}"$', id="the project file"),
        pytest.param("CITATION.cff", r"^version: {}$", id="the citation"),
        pytest.param("CHANGELOG.md", r"^## \[?{}\b", id="the changelog"),
    ],
)
def test_the_version_is_the_same_everywhere(file, pattern):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(pattern.format(re.escape(featherface.__version__)), text, re.MULTILINE)


def test_every_dependency_has_its_licence_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(w for name, ws in extras.items() if name not in {"dev", "docs"} for w in ws),
    ]
    names = {re.match(r"[\w-]+", want)[0] for want in wanted} - {"featherface"}
    missing = sorted(name for name in names if f"| {name} |" not in listed)
    assert missing == []


def test_the_public_names_are_there():
    assert {"Detections", "Detector", "__version__", "list_models"} <= set(featherface.__all__)
    assert [name for name in featherface.__all__ if not hasattr(featherface, name)] == []
