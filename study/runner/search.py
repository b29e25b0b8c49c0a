"""Optuna's side of a study: one Optuna study per space, asked for configurations and told the truth.

A trial stopped early is told as PRUNED with its intermediate values, a software fault as FAIL, and a
diverged trial as COMPLETE with its finite price, so that the sampler learns to avoid the region instead of
returning to it. Optuna ranks every COMPLETE trial before every PRUNED one, and so a diverged trial before a
healthy one that was stopped early: the constraint `diverged`, 1 or 0 on every told trial, sorts it last.
"""

import warnings
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from study.metrics import METRICS
from study.plan import DEFAULT, SAMPLER, STARTUP, TrialPlan
from study.records.trial_folder import Ending
from study.runner.distributions import distributions
from study.runner.proposals import Proposals
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
        self._proposals = Proposals(space, sampler, seed, default)
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
        self._seed = seed

    def ask(self) -> Proposal:
        """The next configuration to try; it stays RUNNING in the journal until it is told."""
        trials = self._trials()
        waiting = [trial.number for trial in trials if trial.state == TrialState.WAITING]
        number = waiting[0] if waiting else len(trials)
        known = self._proposals.of(number, learned=self._has_learned())
        if known is not None and not waiting:  # else a kill came before it was asked for
            self._study.enqueue_trial(known, user_attrs={"origin": self._origin(number)})
        self._draw_for(number)
        return self._proposal(self._study.ask(self._distributions))

    def _draw_for(self, number: int) -> None:
        """Have TPE propose the same as a trial whenever it knows the same of the others."""
        seed = derive_seed(self._seed, "sampler", self.space.name, number) % 2**32
        self._study.sampler = TPESampler(seed=seed, constant_liar=True, n_startup_trials=0)

    def _has_learned(self) -> bool:
        """Whether TPE knows the end of enough trials to propose one."""
        known = (t for t in self._trials() if t.state in (TrialState.COMPLETE, TrialState.PRUNED))
        return len(list(islice(known, self._startup))) == self._startup

    def unlike(self, plans: Mapping[int, TrialPlan | None], unfinished: Container[int]) -> list[int]:
        """Numbers of those trials that were not proposed so, or are said to have ended and have not.

        Of a proposal that a kill cut short, what there is counts.
        """
        trials = self._trials()
        found = []
        for number, plan in plans.items():
            if plan is None:
                continue
            known = trials[number] if number < len(trials) else None
            proposed = self._searched(plan)
            is_other = known is None or any(proposed.get(n) != value for n, value in known.params.items())
            has_ended = known is not None and known.state.is_finished()
            if is_other or (has_ended and number in unfinished):
                found.append(number)
        return found

    def restore(self, plan: TrialPlan, curve: Sequence[tuple[int, float]]) -> None:
        """Have the next trial as it was proposed once, with what it reported; RUNNING until it is told."""
        self._study.enqueue_trial(self._searched(plan), user_attrs={"origin": plan.origin})
        trial = self._study.ask(self._distributions)
        for evaluation, objective in curve:
            trial.report(objective, evaluation)

    def _searched(self, plan: TrialPlan) -> dict[str, Any]:
        """What was proposed as a trial. A null in the space became what the data give."""
        config = plan.config.to_dict()
        return {n: config[n] if known.holds(config[n]) else None for n, known in self.space.searched.items()}

    def give_up(self) -> None:
        """Have the next trial as a failed one: what was proposed as it can't be read any more."""
        self._study.tell(self.ask().number, state=TrialState.FAIL)

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
        found = []
        for trial in self._trials():
            if trial.state == TrialState.RUNNING:
                self._draw_for(trial.number)
                found.append(self._proposal(optuna.trial.Trial(self._study, trial._trial_id)))
        return found

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
        return SAMPLER if self._has_learned() else STARTUP

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)


def quiet() -> None:
    """Optuna's info lines and experimental-feature warnings are not for the users of a study."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
