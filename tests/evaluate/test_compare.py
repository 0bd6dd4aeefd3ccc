"""Detectors side by side: latency in turns, tables that are whole, what cannot be compared."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from featherface.cli.app import build_app
from featherface.errors import ConfigError, MissingExtraError, ModelError
from featherface.evaluate import ours
from featherface.evaluate.chance import Difference
from featherface.evaluate.compare import Compared, Spread, square, time_in_turns
from featherface.evaluate.compare_report import check_picture, pareto, print_table, to_json
from featherface.evaluate.ours import our_candidate
from featherface.runtimes.spec import ModelSpec
from featherface.zoo import find_model

ROOT = Path(__file__).resolve().parents[2]
SUBSETS = ("easy", "medium", "hard")


def test_functions_take_turns():
    calls = []
    spreads = time_in_turns([lambda: calls.append("a"), lambda: calls.append("b")], 6)
    assert "".join(calls) == "aaabbb" + "aaabbb" * 2, "warm-up, then three of each in turn"
    assert all(spread.low <= spread.median <= spread.high for spread in spreads)


@pytest.mark.parametrize(
    ("repeats", "turns"),
    [
        pytest.param(3, "aaabbb", id="one turn"),
        pytest.param(4, "aaabbb" + "ab", id="no more runs than asked for"),
    ],
)
def test_repeats_are_as_many_as_asked_for(repeats, turns):
    calls = []
    time_in_turns([lambda: calls.append("a"), lambda: calls.append("b")], repeats)
    assert "".join(calls)[6:] == turns


def compared(name, ap):
    return Compared(name, dict(zip(SUBSETS, ap, strict=True)), 1234567, 10**9, 10, *[Spread(1, 1, 1)] * 2)


def test_a_table_in_a_narrow_place_loses_no_figure(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    print_table([compared("a_model_of_a_long_name", (0.912, 0.854, math.nan))], "a title")
    out = capsys.readouterr().out
    assert all(text in out for text in ("a_model_of_a_long_name", "1,234,567", "91.2", "85.4", " - ", "Hard"))
    assert "…" not in out


def test_the_first_is_what_the_others_are_compared_with(capsys):
    others = dataclasses.replace(
        compared("other", (0.9, 0.8, math.nan)), against_first={"easy": Difference(-0.01, -0.03, 0.02)}
    )
    print_table([compared("first", (0.91, 0.8, math.nan)), others], "a title")
    out = capsys.readouterr().out
    assert "AP less that of first" in out and "-1.0 (-3.0 to +2.0)" in out
    assert out.count(" - ") == 4, "two APs and two differences of subsets without faces"


def test_ap_of_no_faces_is_null():
    (detector,) = to_json([compared("a", (0.5, 0.5, math.nan))], {})["detectors"]
    assert detector["ap"] == {"easy": 0.5, "medium": 0.5, "hard": None}


@pytest.mark.parametrize("name", ["grace_hopper.jpg", "contact_sheet.jpg"])
def test_a_photo_for_latency_is_square(name, examples):
    assert square(examples / name).shape == (640, 640, 3)


@pytest.mark.shared
@pytest.mark.long
def test_the_command_compares_and_draws(shared, tmp_path):
    other = tmp_path / "again.onnx"
    other.write_bytes(Path(find_model("v2")).read_bytes())
    arguments = [
        "compare",
        "--models",
        f"v2,{other}",
        "--data",
        str(shared / "data" / "widerface"),
        "--limit",
        "3",
    ]
    arguments += ["--repeats", "3", "--json", str(tmp_path / "c.json"), "--picture", str(tmp_path / "c.svg")]
    result = CliRunner().invoke(build_app(), arguments)
    assert result.exit_code == 0, result.output
    ours, again = json.loads((tmp_path / "c.json").read_text())["detectors"]
    assert (ours["name"], again["name"]) == ("v2", "again")
    assert ours["against_first"] == {} and again["against_first"]["hard"] == {"value": 0, "low": 0, "high": 0}
    assert ours["ap"] == again["ap"] and ours["multiply_adds"] == again["multiply_adds"]
    assert ours["parameters"] > again["parameters"], "the card counts batch norm, the file has it folded in"
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        pytest.param(["--models", ","], "at least one model", id="no models"),
        pytest.param(["--models", "v2", "--repeats", "1"], "three repeats", id="nothing to take a median of"),
        pytest.param(["--models", "v2, none.onnx "], "none.onnx: no such file", id="a missing file"),
        pytest.param(
            ["--models", "v2", "--picture", "c.bmp2"], "written as", id="a picture that cannot be drawn"
        ),
        pytest.param(["--models", "v2", "--json", "."], "a folder", id="JSON onto a folder"),
        pytest.param(
            ["--models", "v2", "--json", f"{__file__}/c.json"], "cannot be written", id="JSON below a file"
        ),
    ],
)
def test_what_cannot_be_compared_is_said(options, says, tmp_path):
    result = CliRunner().invoke(build_app(), ["compare", "--data", str(tmp_path), *options])
    assert result.exit_code == 1 and says in str(result.exception)
    assert isinstance(result.exception, ConfigError | ModelError)


def test_without_matplotlib_a_picture_is_refused_before_the_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backend_bases", None)
    with pytest.raises(MissingExtraError, match="matplotlib"):
        check_picture(Path("c.svg"))


def test_a_model_of_one_size_is_refused(monkeypatch):
    monkeypatch.setattr(ours, "open_session", lambda *_, **__: FixedSession())
    with pytest.raises(ConfigError, match=r"v2: takes pictures of 640x640 only.*original.*--protocol vga"):
        our_candidate("v2")


class FixedSession:
    """A session whose model takes one size."""

    spec = ModelSpec("v2", (8,), ((16,),), (0.1, 0.2), 32, (640, 640))


@pytest.mark.parametrize(
    ("points", "front"),
    [
        pytest.param([(1.0, 0.5)], [(1.0, 0.5)], id="one is its own front"),
        pytest.param([(2.0, 0.9), (1.0, 0.5)], [(1.0, 0.5), (2.0, 0.9)], id="slower and better stays"),
        pytest.param([(1.0, 0.9), (2.0, 0.5)], [(1.0, 0.9)], id="slower and worse goes"),
        pytest.param([(1.0, 0.5), (1.0, 0.9)], [(1.0, 0.9)], id="of two equally fast the better stays"),
    ],
)
def test_the_front_holds_what_nothing_beats_in_both(points, front):
    assert pareto(points) == front
