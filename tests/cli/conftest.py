"""The command line, run in this process as a shell would run it."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from featherface.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`run("detect", path, stdin=b"...")` gives exit code, standard output and standard error."""

    def call(*arguments: object, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["featherface", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setenv("COLUMNS", "120")
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture
def wider(examples, tmp_path):
    """Two events of one portrait each, in WIDER FACE's layout with its four .mat files."""
    import numpy as np
    from scipy.io import savemat  # of the extra evaluate, which what else is here does without
    from wider_folder import EVENTS, FACE, cells, faces_with

    root = tmp_path / "wider"
    for event, name in EVENTS.items():
        (root / "val" / "images" / event).mkdir(parents=True)
        shutil.copy(examples / "eileen_collins.jpg", root / "val" / "images" / event / f"{name}.jpg")
    (root / "ground_truth").mkdir()
    savemat(root / "ground_truth" / "wider_face_val.mat", faces_with(FACE))
    for subset in ("easy", "medium", "hard"):
        kept = cells(*(cells(np.array([[1]])) for _ in EVENTS))
        savemat(root / "ground_truth" / f"wider_{subset}_val.mat", {"gt_list": kept})
    return root


@pytest.fixture
def predicted(tmp_path):
    """Prediction files of both pictures, each with its face."""
    from wider_folder import EVENTS, FILE

    folder = tmp_path / "predictions"
    for event, name in EVENTS.items():
        (folder / event).mkdir(parents=True)
        (folder / event / f"{name}.txt").write_text(FILE)
    return folder
