"""The release script, and the files around the code that must agree with it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import featherface

ROOT = Path(__file__).resolve().parents[2]
PAGE = "web/node_modules/.installed"


@pytest.mark.slow
def test_a_release_is_built_installed_without_torch_and_run(tmp_path):
    for package in ("build", "twine"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed, and a release holds the browser page")
    if subprocess.run(["make", PAGE], cwd=ROOT, capture_output=True, check=False).returncode != 0:
        pytest.skip("npm's packages cannot be had, and a release holds the browser page")
    command = [sys.executable, "scripts/release.py", "--dirty", "--output", tmp_path / "dist"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    if "No matching distribution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in (tmp_path / "dist").iterdir()}
    version = featherface.__version__
    assert names == {f"featherface-{version}.tar.gz", f"featherface-{version}-py3-none-any.whl"}


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("left_out", "extra", "says"),
    [
        pytest.param("", 0, None, id="whole"),
        pytest.param("web/dist/index.html", 0, "web/dist/index.html is missing", id="the page was not built"),
        pytest.param("weights/v2.onnx", 0, "weights/v2.onnx is missing", id="no network"),
        pytest.param("", 15_500_000, "something does not belong there", id="over 15.5 MB"),
    ],
)
def test_a_release_is_whole_and_small(left_out, extra, says, release, tmp_path):
    wheel = tmp_path / "featherface.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in release.WANTED:
            if name != left_out:
                archive.writestr(f"featherface/{name}", "")
        archive.writestr("featherface/data", bytes(extra))
    if says is None:
        release.check_content(wheel)
    else:
        with pytest.raises(SystemExit, match=says):
            release.check_content(wheel)


def test_a_release_builds_the_page_before_the_package(release, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(release, "run", lambda *command, **_: ran.append(" ".join(map(str, command[:3]))))
    monkeypatch.setattr(sys, "argv", ["release.py", "--dirty", "--output", str(tmp_path)])
    with pytest.raises(FileNotFoundError):  # nothing was built
        release.main()
    assert ran[0] == "make web" and "-m build" in ran[1]


ALWAYS = ["check", "demo", "docs", "test", "test-long", "test-docs", "test-pythons"]


@pytest.mark.parametrize(
    ("tools", "environment", "makes", "says"),
    [
        pytest.param(["npm", "chromium"], {}, [PAGE, "web-unit", "web-e2e"], "", id="all there"),
        pytest.param(
            ["npm"],
            {},
            [PAGE, "web-unit"],
            "skipped: make web-e2e (no test of the page ran in",
            id="no browser",
        ),
        pytest.param(
            ["npm", "apt-get"],
            {"CI": "true"},
            [PAGE, "web-unit", "web-e2e"],
            "got chromium",
            id="CI gets one",
        ),
        pytest.param(
            ["npm", "apt-get"],
            {"CI": "true", "APT_FAILS": "1"},
            [PAGE, "web-unit"],
            "is not there, and apt-get could not install it)",
            id="CI cannot get one",
        ),
        pytest.param(
            ["npm", "apt-get"], {}, [PAGE, "web-unit"], "skipped", id="nothing is installed at home"
        ),
        pytest.param(
            ["npm", "apt-get"],
            {"CI": "true", "USER_ID": "1000"},
            [PAGE, "web-unit"],
            "skipped",
            id="not root",
        ),
        pytest.param([], {"CI": "true"}, [], "skipped: make web-unit, make web-e2e", id="no npm"),
        pytest.param(
            ["npm"],
            {"NO_PACKAGES": "1"},
            [PAGE],
            "skipped: make web-unit, make web-e2e",
            id="npm without packages",
        ),
    ],
)
def test_ci_runs_what_it_can_and_says_what_it_cannot(tools, environment, makes, says, tmp_path):
    """With commands that only write down that they were called."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("bash", "env", "dirname"):
        (commands / name).symlink_to(shutil.which(name))
    chromium = tmp_path / "chromium"
    scripts = {
        "make": f'echo "$1" >>{tmp_path}/made; [ -z "$NO_PACKAGES" ] || [ "$1" != {PAGE} ]',
        "id": 'echo "${USER_ID:-0}"',
        "npm": "",
        "apt-get": '[ -z "$APT_FAILS" ] || exit 1; [ "$1" = update ] || { echo got chromium; $COPY $0 $CHROMIUM; }',
    }
    for name in ("make", "id", *(tool for tool in tools if tool != "chromium")):
        (commands / name).write_text(f"#!{shutil.which('bash')}\n{scripts[name]}\n", encoding="utf-8")
        (commands / name).chmod(0o755)
    if "chromium" in tools:
        shutil.copy(commands / "make", chromium)
    done = subprocess.run(
        [tmp_path / ".ci" / "run"],
        env={"PATH": str(commands), "CHROMIUM": str(chromium), "COPY": shutil.which("cp"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made").read_text().split() == ALWAYS + makes
    assert says in done.stdout
    if "skipped: " in done.stdout:
        said, last = done.stdout.splitlines()[-2:]
        assert last == f"all that was run is good; {said}", "it is the last line, too"
    assert ("skipped" in done.stdout) == (not {PAGE, "web-e2e"} <= set(makes))


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


@pytest.mark.parametrize(
    ("extra", "name", "next_minor"),
    [pytest.param("serve", "uvicorn", "0.55.0", id="its H11Protocol, which PatientProtocol is built on")],
)
def test_what_is_built_on_private_parts_has_an_upper_bound(extra, name, next_minor):
    """Any minor version may change them; the one that is pinned for the tests is within the bounds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = map(Requirement, project["optional-dependencies"][extra])
    (bounds,) = (want.specifier for want in wanted if want.name == name)
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    (pinned,) = (line.partition("==")[2] for line in lines if line.startswith(f"{name}=="))
    assert next_minor not in bounds and pinned in bounds


def test_the_public_names_are_there():
    assert {"Detections", "Detector", "__version__", "list_models"} <= set(featherface.__all__)
    assert [name for name in featherface.__all__ if not hasattr(featherface, name)] == []
