"""Every code block of README and of the documentation is run, or says why not.

A page's blocks run in order, as somebody would who reads this page and no other: in a folder of its own, which holds
the repository's `examples/`, a folder `photos/` and a folder of labels, `own_data/`. `bash`, `sh` and `console`
blocks go to bash, `python` blocks to Python; others are not code to run. `<!-- not run: why -->` before a block skips
it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FAST = {"README.md", "CONTRIBUTING.md", "docs/index.md"}
# Pages of which every word is followed in a fresh clone, by another test.
WORD_BY_WORD = {"docs/quickstart.md"}
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]+?) -->\s*\n)?^(?P<dent> *)```(?P<kind>\w*)[^\n]*\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
SHELLS = {"bash", "sh", "console"}
# Left out of blocks that do more: the tests of the release install, make has its own virtual environment.
NOT_HERE = re.compile(r"^\s*(\S*pip install|make|python3? -m venv|git clone|cd|docker|npm)\b")
# Seconds for a block, of which the longest takes some 30: more than a busy machine needs, less than a hang.
PATIENCE = 1200
# pandas, DuckDB and Polars print tables; a page that is run must not open windows.
ENVIRONMENT = {"MPLBACKEND": "Agg", "FEATHERFACE_ROOT": str(ROOT)}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def case(page: Path):
    name = name_of(page)
    return pytest.param(page, id=name, marks=() if name in FAST else pytest.mark.slow)


def blocks(page: Path):
    return [match.groupdict() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


@pytest.fixture
def place(tmp_path):
    """What a reader has at hand."""
    folder = tmp_path / "reader"
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copytree(ROOT / "examples", folder / "photos", ignore=shutil.ignore_patterns("*.py", "*.md"))
    shutil.copytree(ROOT / "configs", folder / "configs")
    shutil.copy(folder / "examples" / "grace_hopper.jpg", folder / "photo.jpg")
    (folder / "own_data" / "images").mkdir(parents=True)
    shutil.copy(folder / "photo.jpg", folder / "own_data" / "images")
    label = "# photo.jpg\n176 117 178 216" + " -1 -1 -1" * 5 + "\n"
    (folder / "own_data" / "label.txt").write_text(label)
    return folder


@pytest.mark.parametrize("page", [case(page) for page in PAGES if name_of(page) not in WORD_BY_WORD])
def test_the_blocks_of_a_page_run(page, place):
    environment = os.environ | ENVIRONMENT
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for number, block in enumerate(blocks(page), 1):
        code = re.sub(rf"^{block['dent']}", "", block["code"], flags=re.MULTILINE)
        if block["why"]:
            continue
        if block["kind"] in SHELLS:
            code = "\n".join(run_lines(code))
            command = ["bash", "-euo", "pipefail", "-c", code]
        elif block["kind"] == "python":
            command = [sys.executable, "-c", code]
        else:
            check_data(block["kind"], code)
            continue
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, f"{name_of(page)}, block {number}:\n{code}\n{done.stdout}\n{done.stderr}"


def run_lines(code: str) -> list[str]:
    lines = [line.removeprefix("$ ") for line in code.splitlines()]
    return [line for line in lines if line.strip() and not NOT_HERE.match(line)]


def check_data(kind: str, code: str) -> None:
    """Blocks of data are at least well formed."""
    if kind == "json":
        json.loads(code)
    elif kind == "toml":
        tomllib.loads(code)


def test_every_block_says_what_it_is():
    """A block without a language would silently not be run; a page without blocks has none to hide."""
    nameless = [name_of(page) for page in PAGES for block in blocks(page) if not block["kind"]]
    assert nameless == []


def test_a_block_of_which_nothing_is_run_says_so():
    empty = [
        f"{name_of(page)}: {block['code']}"
        for page in PAGES
        if name_of(page) not in WORD_BY_WORD
        for block in blocks(page)
        if block["kind"] in SHELLS and not block["why"] and not run_lines(block["code"])
    ]
    assert empty == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="the docs extra is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    cards = (tmp_path / "site" / "model-cards" / "index.html").read_text(encoding="utf-8")
    assert "492" in cards and "<!-- model-cards -->" not in cards


def test_links_between_the_files_of_the_repository_lead_somewhere():
    dead = []
    for page in [*PAGES, ROOT / "SECURITY.md", ROOT / "examples" / "README.md"]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r"\]\(([^)\s#]+)", text):
            if "://" not in link and not link.startswith("mailto:") and not (page.parent / link).exists():
                dead.append(f"{name_of(page)}: {link}")
    assert dead == []


@pytest.mark.slow
def test_the_five_minute_start_word_by_word_in_a_fresh_clone(tmp_path):
    """Needs a package index, as a newcomer does; skipped without one."""
    clone = tmp_path / "featherface"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, timeout=120)
    page = clone / "docs" / "quickstart.md"
    for block in [b for b in blocks(page) if b["kind"] in {"bash", "python"}]:
        command = ["bash", "-euo", "pipefail", "-c", block["code"]]
        if block["kind"] == "python":
            command = [".venv/bin/python", "-c", block["code"]]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=900, check=False)
        if "No matching distribution" in done.stderr or "Temporary failure" in done.stderr:
            pytest.skip("no package index can be reached")
        assert done.returncode == 0, f"{block['code']}\n{done.stderr}"
    assert (clone / "out" / "contact_sheet.jpg").is_file()
    faces = json.loads((clone / "faces.json").read_text())["images"][0]["faces"]
    assert len(faces) == 1
