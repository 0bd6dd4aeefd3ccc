"""Makes a release and proves that it works: python scripts/release.py [--output dist].

Builds the browser page (with Node.js), sdist and wheel, checks their metadata with twine, installs each of them
into a virtual environment of its own, without torch, and finds the faces of a sample photo there. Uploads nothing:
it prints the command.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import featherface

ROOT = Path(__file__).resolve().parents[1]
PHOTO = ROOT / "examples" / "eileen_collins.jpg"
# Weights 5.2 MB, their files for the page once more 2.5 MB, ONNX Runtime Web 7.9 MB, all compressed; data, runs or
# pictures of the documentation are more.
MOST_BYTES = 15_500_000
WANTED = (
    "weights/v2.onnx",
    "weights/v2.json",
    "web/dist/index.html",
    "web/dist/models.json",
    "web/dist/licences.txt",
    "web/policy.txt",
    "py.typed",
    "LICENSE",
)


def main() -> None:
    """Build, check, install, run; leave the files in the output folder when all went well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--dirty", action="store_true", help="also with changes that are not committed")
    arguments = parser.parse_args()

    if not arguments.dirty and changes():
        sys.exit(f"not committed: {changes().splitlines()[0]}")
    version = checked_version()
    with tempfile.TemporaryDirectory(prefix="featherface-release-") as name:
        built = Path(name, "dist")
        run("make", "web")  # git ignores what it builds, so nothing else brings it into the package
        run(sys.executable, "-m", "build", "--outdir", built, ROOT)
        files = sorted(built.iterdir())
        run(sys.executable, "-m", "twine", "check", "--strict", *files)
        for file in files:
            check_content(file)
            prove(file, Path(name, f"venv-{file.suffix[1:]}"))
        arguments.output.mkdir(parents=True, exist_ok=True)
        for file in files:
            file.replace(arguments.output / file.name)
    print(f"featherface {version} is good. To publish it:")
    print(f"    git tag v{version} && git push --tags && python -m twine upload {arguments.output}/*")


def checked_version() -> str:
    """The version, when package, project file, citation and changelog agree."""
    version = featherface.__version__
    for name, pattern in {
        "pyproject.toml": rf'^version = "{re.escape(version)}"$',
        "CITATION.cff": rf"^version: {re.escape(version)}$",
        "CHANGELOG.md": rf"^## \[?{re.escape(version)}\b",
    }.items():
        if not re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE):
            sys.exit(f"{name} does not name version {version}")
    return version


def check_content(file: Path) -> None:
    """Weights, browser page, licence and type marker are inside; nothing is far too large."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    else:
        with tarfile.open(file) as archive:
            names = archive.getnames()
    for wanted in WANTED:
        if not any(name.endswith(wanted) for name in names):
            sys.exit(f"{file.name}: {wanted} is missing")
    if file.stat().st_size > MOST_BYTES:
        sys.exit(f"{file.name}: {file.stat().st_size:,} bytes; something does not belong there")


def prove(file: Path, folder: Path) -> None:
    """Install into a clean environment and use it there, by the command and from Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", file)
    run(python, "-c", "import importlib.util as u; assert u.find_spec('torch') is None")
    run(folder / "bin" / "featherface", "detect", PHOTO, "--json", folder / "faces.json", cwd=folder)
    faces = json.loads((folder / "faces.json").read_text())["images"][0]["faces"]
    if len(faces) != 1:
        sys.exit(f"{file.name}: {len(faces)} faces in {PHOTO.name}")
    run(python, "-c", f"from featherface import Detector; assert len(Detector().detect({str(PHOTO)!r})) == 1")


def changes() -> str:
    """What git says is not committed."""
    command = ["git", "status", "--porcelain"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def run(*command: object, cwd: Path = ROOT) -> None:
    """Run and show a command; the release ends where one fails."""
    words = [str(word) for word in command]
    print("$", " ".join(words), flush=True)
    if (code := subprocess.run(words, cwd=cwd, check=False).returncode) != 0:
        sys.exit(f"failed with code {code}: {' '.join(words[:4])}")


if __name__ == "__main__":
    main()
