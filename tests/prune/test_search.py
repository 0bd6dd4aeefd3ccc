"""The search keeps every trial, goes on where it stopped, and refuses what belongs to another one."""

from __future__ import annotations

import csv
import dataclasses
import errno
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="the prune extra is not installed")

from featherface.cli.prune_search import write_results
from featherface.errors import ConfigError, ModelError, TrainingError
from featherface.model import preset
from featherface.prune.config import PruneConfig, RefitConfig, SearchConfig, load_config, some_search
from featherface.prune.front import draw, write_table
from featherface.prune.layout import PARTS, Rates, pruned_layout
from featherface.prune.search import Measured, Search, Trial, choose, with_front

ROOT = Path(__file__).resolve().parents[2]
CONFIG = SearchConfig(trials=12, seed=3, parts=("stage3", "neck"))
FIRST = Rates(stem=0.5, stage3=0.5, neck=0.25)


def measure(rates):
    """AP falls with the neck's rate and hardly with stage 3's."""
    return Measured(
        0.9 - rates.neck / 2 - rates.stage3 / 20, 1 - rates.stage3 / 2, int(1e5 * (1 - rates.neck))
    )


def open_search(tmp_path, config=CONFIG, identity=None):
    return Search(tmp_path / "search.log", config, identity or {"init": "a"}, FIRST)


def rates_of(trials):
    return [t.rates for t in trials]


def test_a_search_starts_with_the_recipes_rates_and_stays_on_its_grid(tmp_path):
    trials = open_search(tmp_path).run(measure, lambda _: None)
    assert len(trials) == 12 and trials[0].rates == FIRST
    for rates in rates_of(trials):
        assert rates.stem == 0.5 and rates.stage1 == 0, "parts that are not searched keep their rates"
        for rate in (rates.stage3, rates.neck):
            assert rate % CONFIG.rate_step == 0 and CONFIG.lowest <= rate <= CONFIG.highest


def test_an_interrupted_search_goes_on_and_measures_the_half_done_trial_again(tmp_path):
    asked = []

    def interrupted(rates):
        asked.append(rates)
        if len(asked) == 4:
            raise KeyboardInterrupt
        return measure(rates)

    with pytest.raises(KeyboardInterrupt):
        open_search(tmp_path).run(interrupted, lambda _: None)
    again = open_search(tmp_path)
    before = again.trials()
    assert rates_of(before) == asked[:3]
    resumed = []
    trials = again.run(lambda rates: resumed.append(rates) or measure(rates), lambda _: None)
    assert resumed[0] == asked[3] and len(resumed) == 9
    assert rates_of(trials)[:3] == asked[:3] and len(trials) == 12
    assert open_search(tmp_path).run(lambda _: pytest.fail("nothing is left to measure"), print) == trials


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        pytest.param(-1, 11, id="the last trial's end of line"),
        pytest.param(-5, 11, id="the end of its values"),
        pytest.param(-40, 11, id="half of its values"),
        pytest.param(5, 0, id="next to nothing of the first line"),
        pytest.param(60, 0, id="half of the first line"),
        pytest.param(130, 0, id="half of what says whose search it is"),
        pytest.param(300, 0, id="half of the rates that come first"),
    ],
)
def test_a_log_whose_last_line_is_torn_goes_on(tmp_path, left, kept):
    """As a loss of power or a full disk leaves it."""
    log = tmp_path / "search.log"
    before = open_search(tmp_path).run(measure, lambda _: None)
    log.write_bytes(log.read_bytes()[:left])
    again = open_search(tmp_path)
    assert rates_of(again.trials()) == rates_of(before)[:kept]
    trials = again.run(measure, lambda _: None)
    assert trials[0].rates == FIRST and len(trials) == 12
    assert kept == 0 or trials[-1].rates == before[-1].rates, "the torn trial is measured again"
    assert open_search(tmp_path).trials() == trials


def test_more_trials_may_be_asked_for_later(tmp_path):
    open_search(tmp_path).run(measure, lambda _: None)
    more = dataclasses.replace(CONFIG, trials=14)
    assert len(open_search(tmp_path, more).run(measure, lambda _: None)) == 14


def test_the_original_is_measured_once(tmp_path):
    found = open_search(tmp_path).original(lambda: Measured(0.9, 1.0, 5))
    assert open_search(tmp_path).original(lambda: pytest.fail("already known")) == found


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(ModelError, id="an error of ours"),
        pytest.param(RuntimeError, id="one of torch's, which must not block the search for ever"),
    ],
)
def test_a_failing_trial_is_said_and_left_out_and_three_in_a_row_end_the_search(tmp_path, kind):
    said, calls = [], []

    def sometimes(rates):
        calls.append(rates)
        if len(calls) % 3 == 2:
            raise kind("diverged")
        return measure(rates)

    assert len(open_search(tmp_path).run(sometimes, said.append)) == 12
    assert "failed: diverged" in next(line for line in said if isinstance(line, str))

    def never(rates):
        raise kind("diverged")

    with pytest.raises(kind):
        open_search(tmp_path, dataclasses.replace(CONFIG, trials=13)).run(never, said.append)


@pytest.mark.parametrize(
    ("ap", "latency"),
    [
        pytest.param(float("nan"), 0.5, id="AP"),
        pytest.param(0.5, float("nan"), id="latency"),
        pytest.param(0.5, float("inf"), id="a time that has no end"),
    ],
)
def test_a_measure_that_is_no_number_ends_the_search_as_other_failures_do(tmp_path, ap, latency):
    said = []
    with pytest.raises(TrainingError, match="no numbers to rank by"):
        open_search(tmp_path).run(lambda _: Measured(ap, latency, 5), said.append)
    assert len(said) == 2 and "no numbers to rank by" in said[0]


@pytest.mark.parametrize("call", ["ask", "tell"])
def test_a_log_that_takes_no_more_is_one_line_and_goes_on_later(tmp_path, monkeypatch, call):
    search = open_search(tmp_path)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(search.study, call, full)
        with pytest.raises(
            TrainingError, match=r"search\.log: cannot be written \(no space left on device\)"
        ):
            search.run(measure, lambda _: None)
    assert len(open_search(tmp_path).run(measure, lambda _: None)) == CONFIG.trials


def test_another_recipes_search_is_refused(tmp_path):
    open_search(tmp_path, identity={"init": "a", "steps": 3})
    with pytest.raises(ConfigError, match=r"holds another search; steps changed"):
        open_search(tmp_path, identity={"init": "a", "steps": 4})


def test_what_an_older_version_did_not_keep_says_nothing_until_it_is_kept(tmp_path):
    open_search(tmp_path, identity={"init": "a", "train": {"seed": 1}})
    open_search(tmp_path, identity={"init": "a", "train": {"seed": 1, "decay": 3}, "teacher": "x"})
    with pytest.raises(ConfigError, match=r"teacher, train\.decay changed"):
        open_search(tmp_path, identity={"init": "a", "train": {"seed": 1, "decay": 4}, "teacher": "y"})


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("trial,ap\n1,0.5\n", id="a table"),
        pytest.param('{"a": 1}\n{"b": 2}\n', id="JSON of something else"),
        pytest.param("\x00\x01\n\x02\n", id="bytes"),
        pytest.param("a note", id="a line without an end, which no search tore"),
        pytest.param('{"op_code":99,"worker_id":"a"}\n', id="a log of who knows what"),
    ],
)
def test_a_file_that_is_no_search_is_refused_and_kept(tmp_path, content):
    (tmp_path / "search.log").write_text(content)
    with pytest.raises(ConfigError, match="not the log of a search"):
        open_search(tmp_path)
    assert (tmp_path / "search.log").read_text().startswith(content)


def test_what_optuna_lacks_is_not_the_files_fault(tmp_path, monkeypatch):
    import optuna

    monkeypatch.delattr(optuna.storages, "journal")
    with pytest.raises(AttributeError, match="journal"):
        open_search(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda folder: (folder / "search.log").mkdir(), id="the log is a folder"),
        pytest.param(lambda folder: folder.rmdir() or folder.write_text(""), id="the folder is a file"),
    ],
)
def test_a_place_that_no_log_can_be_in_is_one_line(tmp_path, make):
    (tmp_path / "out").mkdir()
    make(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"search.log: cannot be read and written \("):
        open_search(tmp_path / "out")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"trials": -1}, "trials", id="fewer than no trials"),
        pytest.param({"highest": 1.0}, "highest < 1", id="a rate that removes everything"),
        pytest.param({"lowest": 0.5, "highest": 0.5}, "lowest < highest", id="nothing to search"),
        pytest.param({"rate_step": 0.0}, "rate_step", id="no step"),
        pytest.param({"parts": ("head",)}, "parts must be of stem", id="an unknown part"),
        pytest.param({"parts": ()}, "parts must be of", id="no part"),
        pytest.param({"input_size": 100}, "multiple of 32", id="an odd size"),
        pytest.param({"crop_size": 100}, "search: crop_size", id="odd crops"),
        pytest.param({"seed": -1}, "search: seed", id="a seed that no generator takes"),
        pytest.param(
            {"seed": 2**32 - 1}, "search: seed", id="a seed that a resumption would push over 32 bits"
        ),
        pytest.param({"max_lr": float("inf")}, "search: max_lr", id="a rate that is none"),
        pytest.param({"max_latency": 0.0}, "max_latency must be over 0", id="no time at all"),
        pytest.param({"max_latency": float("nan")}, "max_latency", id="a time that is no number"),
        pytest.param({"repeats": 0}, "repeats", id="no timing"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        SearchConfig(**values)


POINTS = [(0.9, 1.0, 100), (0.8, 0.5, 60), (0.8, 0.6, 60), (0.7, 0.4, 50), (0.6, 0.45, 55), (0.8, 0.5, 60)]


def trials_of(points):
    return with_front([Trial(i, Rates(), Measured(*point)) for i, point in enumerate(points)])


def test_the_front_has_what_nothing_beats_equals_included():
    assert [t.number for t in trials_of(POINTS) if t.best] == [0, 1, 3, 5]


@pytest.mark.parametrize(
    ("parameters", "latency", "expected"),
    [(0, 1.0, 0), (60, 1.0, 1), (60, 0.45, 3), (10, 1.0, None)],
    ids=["no limit", "few parameters", "fast and few", "none fits"],
)
def test_the_best_within_the_limits_is_chosen(parameters, latency, expected):
    found = choose(trials_of(POINTS), parameters, latency)
    assert (found.number if found else None) == expected


def test_table_and_picture_hold_all_trials(tmp_path):
    pytest.importorskip("matplotlib")
    trials, original = trials_of(POINTS), Measured(0.95, 1.0, 300)
    write_table(trials, original, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["original", *"012345"]
    assert [row["on_front"] for row in rows[1:]] == ["1", "1", "0", "1", "0", "1"]
    assert set(PARTS) < set(rows[0])
    draw(trials, original, "six", tmp_path / "pareto.png")
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("rates", "parts", "highest"),
    [
        pytest.param(Rates(stage3=0.5, neck=0.25), ("stage3", "neck"), 0.25, id="two parts"),
        pytest.param(Rates(stem=0.01), ("stem",), 0.01, id="less than a step"),
        pytest.param(Rates(), ("stage3",), 0.5, id="none"),
    ],
)
def test_a_recipe_without_a_search_gets_one_within_its_rates(rates, parts, highest):
    """For --smoke: the widths it tries are none that the recipe itself could not have."""
    found = some_search(rates)
    assert (found.parts, found.highest, found.lowest) == (parts, highest, 0)


@pytest.mark.parametrize("name", ["v2", "nano_b"])
def test_the_default_search_takes_nothing_whole_from_what_ships(name):
    search = SearchConfig()
    layout = pruned_layout(preset(name), Rates(**dict.fromkeys(search.parts, search.highest)), "small")
    assert min(layout.width, *layout.level_widths, *filter(None, layout.context_inputs)) >= 8


def test_the_chosen_recipe_has_all_that_the_search_measured_with(tmp_path):
    """Its rates alone would give another network: without the refit it has a seventh of the AP."""
    pytest.importorskip("matplotlib")
    recipe = PruneConfig(
        name="found",
        init="v2.safetensors",
        multiple=16,
        max_parameters=90_000,
        train="train.toml",
        rates=FIRST,
        search=CONFIG,
        refit=RefitConfig(pictures=24, crop_size=256),
    )
    studied = open_search(tmp_path)
    studied.original(lambda: Measured(0.9, 1.0, 100_000))
    best = choose(studied.run(measure, lambda _: None), recipe.max_parameters)
    write_results(recipe, studied, tmp_path)
    expected = dataclasses.replace(recipe, rates=best.rates, search=SearchConfig())
    assert load_config(tmp_path / "chosen.toml") == expected
    assert f"# Trial {best.number}: AP" in (tmp_path / "chosen.toml").read_text()
