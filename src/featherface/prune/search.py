"""Rates per part by Bayesian optimisation: AP against latency against parameters. Every trial is kept."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featherface.errors import ConfigError, TrainingError, one_line, reason_of
from featherface.prune.config import SearchConfig
from featherface.prune.identity import changed
from featherface.prune.layout import Rates
from featherface.runtimes.versions import import_failure, refuse_older

_STUDY = "rates"
_FAILURES = 3
_OBJECTIVES = ["maximize", "minimize", "minimize"]
_BEGINNING = b'{"op_code":'
"""Of every line in optuna's log, and so of the file."""


@dataclass(frozen=True)
class Measured:
    """What a layout is worth."""

    ap: float
    """On the held-out training pictures, after the recovery; 0 to 1."""
    latency: float
    """Its time in ONNX Runtime divided by the original's."""
    parameters: int

    def __post_init__(self) -> None:
        # Optuna would call such a trial failed without a word, and the search go on for ever.
        if not (math.isfinite(self.ap) and math.isfinite(self.latency)):
            raise TrainingError(f"measured AP {self.ap} in {self.latency} of the time: no numbers to rank by")


@dataclass(frozen=True)
class Trial:
    """One layout that was measured."""

    number: int
    rates: Rates
    measured: Measured
    best: bool = False
    """On the Pareto front: no other trial is as good in all three and better in one."""


Measure = Callable[[Rates], Measured]


class Search:
    """A search in a file: made when missing, gone on with when it is there.

    `identity` is everything that decides what a trial's figures mean; `first` has the rates
    that are tried first and those of the parts that are not searched. ConfigError for a file that is no search, or
    the search of another recipe; MissingExtraError without optuna.
    """

    def __init__(self, file: Path, config: SearchConfig, identity: dict[str, Any], first: Rates) -> None:
        self.optuna = load_optuna()
        self.file, self.config, self.first = file, config, first
        self.study = self._open(file)
        text = json.dumps(identity, sort_keys=True)
        known = self.study.user_attrs.get("identity", "{}")
        if found := changed(json.loads(known), json.loads(text)):
            raise ConfigError(f"{file}: holds another search; {', '.join(found)} changed")
        if known != text:  # the first time, or kept by a version that knew less
            self.study.set_user_attr("identity", text)
        if not self.study.get_trials(deepcopy=False):
            self._ask_for({part: getattr(first, part) for part in config.parts})
        self._take_up()

    def original(self, measure: Callable[[], Measured]) -> Measured:
        """What the unpruned network is worth; measured once in a search."""
        if "original" not in self.study.user_attrs:
            self.study.set_user_attr("original", dataclasses.asdict(measure()))
        return Measured(**self.study.user_attrs["original"])

    def run(self, measure: Measure, report: Callable[[Trial | str], None]) -> list[Trial]:
        """Measure layouts until there are as many as the recipe asks for; all of them, in order.

        A trial that fails is reported and left out; the third in a row raises its error.
        """
        failures = 0
        while len(self.trials()) < self.config.trials:
            with self._written():
                asked = self.study.ask()
                rates = self._rates(self._suggest(asked))
            try:
                measured = measure(rates)
            except (
                Exception
            ) as error:  # of torch or the runtime, too: left running, it would be taken up for ever
                with self._written():
                    self.study.tell(asked, state=self.optuna.trial.TrialState.FAIL)
                failures += 1
                if failures == _FAILURES:
                    raise
                report(f"trial {asked.number} failed: {one_line(error, 160)}")
                continue
            failures = 0
            with self._written():
                self.study.tell(asked, [measured.ap, measured.latency, measured.parameters])
            report(Trial(asked.number, rates, measured))
        return self.trials()

    def trials(self) -> list[Trial]:
        """All that were measured so far."""
        done = self.study.get_trials(states=(self.optuna.trial.TrialState.COMPLETE,))
        trials = [
            Trial(t.number, self._rates(t.params), Measured(t.values[0], t.values[1], int(t.values[2])))
            for t in done
        ]
        return with_front(trials)

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        """TrainingError where the log takes no more: a full disk, say. What it has is gone on with."""
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self.file}: cannot be written ({reason_of(error)}); run it again to go on"
            ) from error

    def _open(self, file: Path) -> Any:
        optuna = self.optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        backend = optuna.storages.journal.JournalFileBackend  # what optuna lacks is no fault of the file's
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _drop_torn_line(file)
            storage = optuna.storages.JournalStorage(backend(str(file)))
            study = optuna.create_study(
                study_name=_STUDY, storage=storage, directions=_OBJECTIVES, load_if_exists=True
            )
            count = len(study.get_trials(deepcopy=False))
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read and written ({reason_of(error)})") from error
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise ConfigError(f"{file}: not the log of a search ({one_line(error, 120)})") from error
        # A resumed search must not draw the same random numbers again.
        study.sampler = optuna.samplers.TPESampler(
            seed=self.config.seed + count, n_startup_trials=8, multivariate=True
        )
        return study

    def _take_up(self) -> None:
        """Trials that an interruption left half done are measured again."""
        states = self.optuna.trial.TrialState
        for trial in self.study.get_trials(states=(states.RUNNING,)):
            self.study.tell(trial.number, state=states.FAIL)
            if len(trial.params) == len(self.config.parts):
                self._ask_for(trial.params)

    def _ask_for(self, rates: dict[str, float]) -> None:
        c = self.config
        steps = {part: round((rate - c.lowest) / c.rate_step) for part, rate in rates.items()}
        nearest = {p: c.lowest + min(max(n, 0), self._steps) * c.rate_step for p, n in steps.items()}
        self.study.enqueue_trial(nearest)

    def _suggest(self, trial: Any) -> dict[str, float]:
        c = self.config
        # The last step at or under the highest rate: where the steps miss it, optuna would warn of each.
        highest = c.lowest + self._steps * c.rate_step
        return {p: trial.suggest_float(p, c.lowest, highest, step=c.rate_step) for p in c.parts}

    @property
    def _steps(self) -> int:
        return int((self.config.highest - self.config.lowest) / self.config.rate_step + 1e-9)

    def _rates(self, searched: dict[str, float]) -> Rates:
        return dataclasses.replace(self.first, **searched)


def _drop_torn_line(file: Path) -> None:
    """Cut off a last line that has no end, as a loss of power or a full disk leaves it.

    What came after it on the same line would spoil the log for good. Somebody else's file is left as it is.
    """
    if not file.is_file():
        return
    written = file.read_bytes()
    whole = written.rfind(b"\n") + 1
    if whole < len(written) and (written.startswith(_BEGINNING) or _BEGINNING.startswith(written)):
        with file.open("r+b") as log:
            log.truncate(whole)


def with_front(trials: Sequence[Trial]) -> list[Trial]:
    """The trials with `best` set where no other is as good in everything and better in something."""

    def beats(a: Measured, b: Measured) -> bool:
        as_good = a.ap >= b.ap and a.latency <= b.latency and a.parameters <= b.parameters
        return as_good and a != b

    return [
        dataclasses.replace(t, best=not any(beats(o.measured, t.measured) for o in trials)) for t in trials
    ]


def choose(trials: Sequence[Trial], max_parameters: int, max_latency: float = 1.0) -> Trial | None:
    """The trial of highest AP within the limits (0 parameters means any); None when there is none."""
    fit = [
        t
        for t in trials
        if (not max_parameters or t.measured.parameters <= max_parameters)
        and t.measured.latency <= max_latency
    ]
    return max(fit, key=lambda t: t.measured.ap, default=None)


def load_optuna() -> Any:
    """The package that looks for rates; MissingExtraError without it, ModelError where it is broken or too old."""
    try:
        import optuna
    except ImportError as error:
        raise import_failure(error, "optuna", "prune") from error
    refuse_older("optuna", "prune", "4")
    return optuna
