"""Optuna's side of a study: one Optuna study per space, asked for configurations and told the truth.

A trial stopped early is told as PRUNED with its intermediate values, a software fault as FAIL, and a
diverged trial as COMPLETE with its finite ceiling, so that the sampler learns to avoid the region
instead of returning to it.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

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


@dataclass(frozen=True)
class Proposal:
    """One configuration that Optuna asked to be tried; `number` counts a space's trials from 0."""

    number: int
    hyperparameters: dict[str, Any]


class Search:
    """One space's Optuna study, in the study's journal under the space's name."""

    def __init__(
        self, space: Space, journal: BaseStorage, sampler: str, seed: int, higher_is_better: bool
    ) -> None:
        """`seed` is the study's."""
        self.space = space
        self._distributions = distributions(space)
        quiet()
        self._study = optuna.create_study(
            study_name=space.name,
            storage=journal,
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
        )
        self._study.sampler = _sampler(sampler, space, seed, asked=len(self._trials()))

    def ask(self) -> Proposal:
        """The next configuration to try; it stays RUNNING in the journal until it is told."""
        return self._proposal(self._study.ask(self._distributions))

    def report(self, number: int, evaluation: int, objective: float) -> None:
        """Record an intermediate objective; its step is the evaluation's number."""
        trial = self._trials()[number]
        if evaluation not in trial.intermediate_values:
            optuna.trial.Trial(self._study, trial._trial_id).report(objective, evaluation)

    def tell(self, number: int, ending: Ending) -> None:
        """Say how a trial ended. Its value is its objective: for PRUNED the last one reported."""
        state = STATES[ending.state]
        value = ending.objective if state == TrialState.COMPLETE else None
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
        return Proposal(trial.number, {**self.space.constants, **searched})

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


class _CountedGrid(GridSampler):
    """A grid whose end is counted by the study; Optuna's own way to stop works only in optimize()."""

    def after_trial(self, *_: object) -> None:
        return None


def _sampler(name: str, space: Space, seed: int, asked: int) -> BaseSampler:
    """The sampler, after `asked` trials: a resumed one must not draw its first numbers once more."""
    fresh = derive_seed(seed, "sampler", space.name, asked) % 2**32
    if name == "tpe":
        return TPESampler(seed=fresh, constant_liar=True)
    if name == "random":
        return RandomSampler(seed=fresh)
    # These two know from the journal where they stand in one fixed sequence.
    fixed = derive_seed(seed, "sampler", space.name) % 2**32
    if name == "qmc":
        return QMCSampler(seed=fixed, scramble=True, warn_independent_sampling=False)
    return _CountedGrid(space.grid(), seed=fixed)
