"""Optuna's side of a study: one Optuna study per space, asked for configurations and told the truth.

A trial stopped early is told as PRUNED with its intermediate values, a software fault as FAIL, and a
diverged trial as COMPLETE with its finite price, so that the sampler learns to avoid the region instead of
returning to it. Optuna ranks every COMPLETE trial before every PRUNED one, and so a diverged trial before a
healthy one that was stopped early: the constraint `diverged`, 1 or 0 on every told trial, sorts it last.
"""

import random
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from study.metrics import METRICS
from study.plan import DEFAULT, SAMPLER, STARTUP
from study.records.trial_folder import Ending
from study.runner.distributions import distributions
from study.seeds import derive_seed
from study.space import Space

STATES = {
    "completed": TrialState.COMPLETE,
    "diverged": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
SHOWN = ("state", "ended_by", "kimg", "n_seeds", "n_diverged", "n_censored")  # in optuna-dashboard
MOST_STARTUP = 10  # Optuna's own number


def startup_trials(trials: int, dimensions: int) -> int:
    """How many trials TPE needs to know before it proposes one: a quarter, at least half the dimensions.

    Optuna's own ten make a study of twelve trials a random search (python -m tests.benchmarks.search).
    """
    return min(max(trials // 4, dimensions // 2 + 1), MOST_STARTUP)


@dataclass(frozen=True)
class Proposal:
    """One configuration that Optuna asked to be tried.

    Attributes:
        number: counts a space's trials from 0.
        origin: DEFAULT, STARTUP or SAMPLER (see `TrialPlan`).
    """

    number: int
    hyperparameters: dict[str, Any]
    origin: str


class Search:
    """One space's Optuna study, in the study's journal under the space's name."""

    def __init__(
        self,
        space: Space,
        journal: BaseStorage,
        sampler: str,
        seed: int,
        metric: str,
        trials: int,
        default: Mapping[str, Any] | None = None,
    ) -> None:
        """`seed` is the study's; `trials`, how many there will be; `default`, what trial 0 is to be."""
        self.space = space
        self._distributions = distributions(space)
        self._fixed = [] if default is None else [dict(default)]
        if sampler == "grid":
            self._fixed += _cells(space, seed, self._fixed)
        self._default = default
        quiet()
        self._study = optuna.create_study(
            study_name=space.name,
            storage=journal,
            direction="maximize" if METRICS[metric].higher_is_better else "minimize",
            load_if_exists=True,
        )
        if self._study.metric_names is None:
            self._study.set_metric_names([metric])
        if STARTUP not in self._study.user_attrs:  # a study that is extended keeps what it began with
            number = startup_trials(trials, len(space.searched)) if sampler == "tpe" else 0
            self._study.set_user_attr(STARTUP, number)
        self._startup = self._study.user_attrs[STARTUP]
        self._study.sampler = _sampler(sampler, space, seed, asked=self._asked(), startup=self._startup)

    def ask(self) -> Proposal:
        """The next configuration to try; it stays RUNNING in the journal until it is told."""
        number = self._asked()
        waiting = len(self._trials()) > number  # a kill came between the next two lines
        if number < len(self._fixed) and not waiting:
            self._study.enqueue_trial(self._fixed[number])
        return self._proposal(self._study.ask(self._distributions))

    def _asked(self) -> int:
        return sum(trial.state != TrialState.WAITING for trial in self._trials())

    def report(self, number: int, evaluation: int, objective: float) -> None:
        """Record an intermediate objective; its step is the evaluation's number."""
        trial = self._trials()[number]
        if evaluation not in trial.intermediate_values:
            optuna.trial.Trial(self._study, trial._trial_id).report(objective, evaluation)

    def tell(self, number: int, ending: Ending, row: Mapping[str, Any] | None = None) -> None:
        """Say how a trial ended. Its value is its objective: for PRUNED the last one reported.

        Of its `row` in the trials table the columns SHOWN become attributes.
        """
        state = STATES[ending.state]
        value = ending.objective if state == TrialState.COMPLETE else None
        trial = self._trials()[number]
        known = optuna.trial.Trial(self._study, trial._trial_id)
        for name in SHOWN:
            if row and name in row:
                known.set_user_attr(name, row[name])
        if not trial.constraints:  # a kill may have come before the end was told
            known.set_constraint("diverged", float(ending.state == "diverged"))
        self._study.tell(number, value, state=state)

    def finished(self) -> set[int]:
        """Numbers of the trials that have been told."""
        return {t.number for t in self._trials() if t.state.is_finished()}

    def running(self) -> list[Proposal]:
        """Trials asked for and not yet told, oldest first: after a crash, those to be continued.

        A kill in the middle of asking leaves a trial without all its parameters; it gets the rest now.
        """
        return [
            self._proposal(optuna.trial.Trial(self._study, t._trial_id))
            for t in self._trials()
            if t.state == TrialState.RUNNING
        ]

    def _proposal(self, trial: optuna.trial.Trial) -> Proposal:
        searched = {
            name: trial.params[name] if name in trial.params else trial._suggest(name, distribution)
            for name, distribution in self._distributions.items()
        }
        if "origin" not in trial.user_attrs:
            trial.set_user_attr("origin", self._origin(trial.number))
        return Proposal(trial.number, {**self.space.constants, **searched}, trial.user_attrs["origin"])

    def _origin(self, number: int) -> str:
        if number == 0 and self._default is not None:
            return DEFAULT
        told = sum(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in self._trials())
        return STARTUP if told < self._startup else SAMPLER

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def open_journal(path: Path) -> JournalStorage:
    """Open a study's journal for its one writer, mending what a kill may have left behind.

    The caller holds the study's lock: a lock file of Optuna's is stale, and a last line without
    an end was never finished (Optuna would otherwise write on behind it and lose the file).
    """
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with path.open("r+b") as file:
                file.truncate(whole)
    return JournalStorage(JournalFileBackend(str(path)))


def quiet() -> None:
    """Optuna's info lines and experimental-feature warnings are not for the users of a study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)


def _cells(space: Space, seed: int, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A grid's configurations, in an order of the study's seed; those in `before` are left out."""
    grid = space.grid()
    cells = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    random.Random(derive_seed(seed, "grid", space.name)).shuffle(cells)
    return [cell for cell in cells if cell not in before]


def _sampler(name: str, space: Space, seed: int, asked: int, startup: int) -> BaseSampler:
    """The sampler, after `asked` trials: a resumed one must not draw its first numbers once more."""
    fresh = derive_seed(seed, "sampler", space.name, asked) % 2**32
    if name == "tpe":
        return TPESampler(seed=fresh, constant_liar=True, n_startup_trials=startup)
    if name == "qmc":  # it knows from the journal where it stands in one fixed sequence
        fixed = derive_seed(seed, "sampler", space.name) % 2**32
        return QMCSampler(seed=fixed, scramble=True, warn_independent_sampling=False)
    return RandomSampler(seed=fresh)  # of a grid, too, whose cells are enqueued
