"""Early stopping: Ray's schedulers, one per space, so that spaces never compete with each other.

Their time is the number of the evaluation, an integer that stands for a fixed number of kimg; they
compare trials by `study.records.objective.rank`. ASHA judges a trial at its rungs only once it has made the
plan's `min_updates` generator updates: at one kimg a large batch and many critic updates leave too few to
say anything. A trial that comes to a rung earlier passes it and doesn't count in it. The paper's default
counts and is never stopped: a study is to end with what tuning is worth at the whole budget.
"""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    TrialScheduler,
)

from study.plan import DEFAULT, StudyPlan
from study.records.objective import Standing
from study.runner.trainable import WITHOUT_NEWS
from study.space import Space

History = Sequence[Standing]


def asha(space: Space, last: int, mode: str) -> TrialScheduler:
    """Asynchronous successive halving (Li et al. 2020), one bracket."""
    return ASHAScheduler(
        time_attr="evaluation",
        metric="rank",
        mode=mode,
        max_t=last,
        grace_period=min(space.min_evaluations or 1, last),
        reduction_factor=space.eta,
    )


def hyperband(space: Space, last: int, mode: str) -> TrialScheduler:
    """Synchronous Hyperband (Li et al. 2018); trials wait, paused, for their bracket."""
    return HyperBandScheduler(
        time_attr="evaluation",
        metric="rank",
        mode=mode,
        max_t=last,
        reduction_factor=space.eta,
    )


def fifo(space: Space, last: int, mode: str) -> TrialScheduler:
    """No early stopping."""
    del space, last, mode
    return FIFOScheduler()


SCHEDULERS: dict[str, Callable[[Space, int, str], TrialScheduler]] = {
    "asha": asha,
    "hyperband": hyperband,
    "fifo": fifo,
}


class PerSpaceScheduler(TrialScheduler):
    """Sends each trial to the scheduler of its space.

    A resumed study's past is replayed first: trials that ended before count in their rungs, and a
    continued trial takes its earlier evaluations with it.

    Attributes:
        largest_bracket: trials in Hyperband's largest bracket; 0 where no space uses it.
    """

    def __init__(self, plan: StudyPlan, spaces: Sequence[Space], mode: str) -> None:
        super().__init__()
        last = plan.evaluations
        self._of_space = {s.name: SCHEDULERS[plan.schedulers[s.name]](s, last, mode) for s in spaces}
        self._rungs = {s.name: s.rungs(last) for s in spaces}
        self._min_updates = plan.min_updates

        self._condemned: dict[str, int] = {}  # at which evaluation
        self.largest_bracket = max(
            (
                int(scheduler._get_n0(s))
                for scheduler in self._of_space.values()
                if isinstance(scheduler, HyperBandScheduler)
                for s in range(scheduler._s_max_1)
            ),
            default=0,
        )

    def replay(self, space: str, trial_id: str, history: History) -> None:
        """Count a trial that ended before this run."""
        trial = SimpleNamespace(trial_id=trial_id, config={})
        scheduler = self._of_space[space]
        if isinstance(scheduler, ASHAScheduler):
            scheduler.on_trial_add(None, trial)
            self._feed(space, trial, history)
            scheduler.on_trial_remove(None, trial)

    def _feed(self, space: str, trial: Any, history: History) -> str:
        """Let a space's ASHA see past evaluations; its verdict on the last one."""
        verdict = TrialScheduler.CONTINUE
        for standing in history:
            verdict = self._judge(space, None, trial, standing._asdict())
        return verdict

    def _judge(self, space: str, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        scheduler = self._of_space[space]
        if isinstance(scheduler, ASHAScheduler) and result["evaluation"] < scheduler._max_t:
            early = result["generator_updates"] < self._min_updates
            if early or result["evaluation"] not in self._rungs[space]:
                return TrialScheduler.CONTINUE
            verdict = scheduler.on_trial_result(tune_controller, trial, result)
            return TrialScheduler.CONTINUE if _is_default(trial) else verdict
        return scheduler.on_trial_result(tune_controller, trial, result)

    def _for(self, trial: Any) -> TrialScheduler:
        return self._of_space[trial.config["space"]]

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        del metric, mode, spec
        return True

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        scheduler = self._for(trial)
        scheduler.on_trial_add(tune_controller, trial)
        if isinstance(scheduler, ASHAScheduler):
            verdict = self._feed(trial.config["space"], trial, trial.config["history"])
            if verdict == TrialScheduler.STOP:  # a kill came before the verdict could be carried out
                self._condemned[trial.trial_id] = trial.config["history"][-1].evaluation

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._for(trial).on_trial_error(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        # Where its checkpoint was lost it has begun again, and comes to that evaluation once more.
        if result["evaluation"] >= self._condemned.get(trial.trial_id, math.inf):
            return TrialScheduler.STOP
        return self._judge(trial.config["space"], tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        if result.get("state") in WITHOUT_NEWS:  # nothing was evaluated that others could be compared with
            self._for(trial).on_trial_error(tune_controller, trial)
        else:
            self._for(trial).on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        self._for(trial).on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        for scheduler in self._of_space.values():
            trial = scheduler.choose_trial_to_run(tune_controller)
            if trial is not None:
                return trial
        return None

    def debug_string(self) -> str:
        return "\n".join(f"{k}: {s.debug_string()}" for k, s in self._of_space.items())


def _is_default(trial: Any) -> bool:
    return trial.config.get("plan", {}).get("origin") == DEFAULT
