"""What lies in examples/serve: the client, the container and the unit name only what is there."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess

import pytest

from featherface.cli.serve import serve as command
from featherface.serve.settings import Settings


def test_the_example_client_is_all_one_needs(serve, photo, expected, examples, monkeypatch):
    monkeypatch.syspath_prepend(examples / "serve")
    from client import faces

    server = serve("--cores", "1")
    assert faces(photo, server.url) == expected


def test_the_container_is_built_from_sources_alone(examples):
    """A whole checkout would bring its history, environments and training runs into the image."""
    lines = (examples / "serve" / "Containerfile").read_text(encoding="utf-8").splitlines()
    copied = {source for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]}
    assert copied == {"pyproject.toml", "README.md", "LICENSE", "src"}
    assert all((examples.parent / source).exists() for source in copied)


@pytest.mark.parametrize(
    ("file", "start"),
    [("Containerfile", "CMD "), ("featherface.service", "ExecStart=")],
    ids=["container", "unit"],
)
def test_every_option_in_an_example_is_one_of_the_command(file, start, examples):
    (line,) = (
        line
        for line in (examples / "serve" / file).read_text(encoding="utf-8").splitlines()
        if line.startswith(start)
    )
    options = {name.replace("-", "_") for name in re.findall(r"--([\w-]+)", line)}
    assert options and options <= set(inspect.signature(command).parameters)


def test_the_example_unit_waits_for_what_is_in_hand(examples):
    unit = (examples / "serve" / "featherface.service").read_text(encoding="utf-8")
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > Settings().longest


@pytest.mark.parametrize(
    ("file", "pattern"),
    [("Containerfile", r"--memory (\d+)g"), ("featherface.service", r"^MemoryMax=(\d+)G$")],
    ids=["container", "unit"],
)
def test_every_example_has_memory_for_what_the_service_allows(file, pattern, examples):
    """The rule in docs/service.md: the process, what pictures in work take, and bodies."""
    text = (examples / "serve" / file).read_text(encoding="utf-8")
    settings = Settings(max_pixels=int(re.search(r'--max-pixels[", ]+(\d+)', text)[1]))
    needed = 300_000_000 + 150 * settings.budget + settings.most_bytes
    assert int(re.search(pattern, text, re.MULTILINE)[1]) << 30 >= needed


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
def test_systemd_finds_nothing_wrong_with_the_example_unit(examples, tmp_path):
    """Nothing of it is unknown or misspelt; the program itself is not where it says on this machine."""
    unit = (examples / "serve" / "featherface.service").read_text(encoding="utf-8")
    copy = tmp_path / "featherface.service"
    copy.write_text(unit.replace("/opt/featherface/bin/featherface", "/bin/true"))
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0 and not result.stderr, result.stderr
