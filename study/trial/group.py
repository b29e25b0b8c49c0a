"""Trials that one process trains side by side: those of one shape key as one pack, each judged for itself."""

import asyncio
from collections.abc import Hashable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from study.plan import TrialPlan
from study.records.trial_folder import RUNNING, TrialFolder
from study.reporting.timing import Timing
from study.training.trainer import Due, Trainer
from study.trial.evaluation import Evaluation
from study.trial.run import steps

PATIENCE_SECONDS, PATIENCE_TICKS = 5.0, 10


@dataclass(eq=False)
class _Trial:
    """A trial that is here. `due`, `trained`: what it waits for; `absent`: nobody waits for it."""

    key: Hashable
    steps: Iterator[Due | Evaluation]
    timing: Timing
    due: Due | None = None
    trained: "asyncio.Future[None] | None" = None
    absent: bool = False


class TrialGroup:
    """The trials of one process and device; everything runs in one thread, in the loop of its caller.

    A trial is here from its first `next` until it has ended or is dropped. Training to the next evaluation
    starts when all trials of a shape key that are here wait for it. When they have waited
    PATIENCE_SECONDS for one that nobody asks for, they train without it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._trials: dict[str, _Trial] = {}
        self._trainers: dict[Hashable, Trainer] = {}

    async def next(self, plan: TrialPlan, folder: TrialFolder) -> tuple[Evaluation, dict[str, float]]:
        """The trial's next evaluation, and the seconds since it was asked for, by part.

        At the first call the trial begins, or continues from its folder's checkpoint.

        Raises:
            Exception: the trial's own fault, or one in the training of its pack; the trial is dropped.
        """
        trial = self._trials.get(plan.trial_id) or self._begin(plan, folder)
        assert trial.due is None, f"{plan.trial_id} is being asked for twice at a time"
        trial.absent = False
        trial.timing.take()  # the time since its last evaluation is the caller's
        try:
            while isinstance(event := next(trial.steps), Due):
                await self._trained(trial, event)
        except BaseException:
            if self._trials.get(plan.trial_id) is trial:
                self.drop(plan.trial_id)
            raise
        if event.state != RUNNING:
            self.drop(plan.trial_id)
        return event, trial.timing.take()

    def drop(self, trial_id: str) -> None:
        """Forget a trial, so that its folder is free and the others don't wait for it."""
        trial = self._trials.pop(trial_id, None)
        if trial is None:
            return
        if trial.trained is not None:
            trial.trained.cancel()
        trial.steps.close()  # type: ignore[attr-defined]
        if self._of(trial.key):
            asyncio.get_running_loop().call_soon(self._train_if_all_wait, trial.key)
        else:
            self._trainers.pop(trial.key, None)

    def _begin(self, plan: TrialPlan, folder: TrialFolder) -> _Trial:
        timing = Timing("wait")
        key = (plan.config.shape_key, plan.precision, plan.study_seed)
        trial = _Trial(key, steps(plan, folder, self._device, timing), timing)
        self._trials[plan.trial_id] = trial
        return trial

    async def _trained(self, trial: _Trial, due: Due) -> None:
        """Return when `due` is done; the last trial that comes here trains for all."""
        trained = asyncio.get_running_loop().create_future()
        trial.due, trial.trained = due, trained
        with trial.timing.part("wait"):
            self._train_if_all_wait(trial.key)
            while not trained.done():
                for _ in range(PATIENCE_TICKS):
                    # In ticks, as calls that came while this thread trained others take a moment to get here.
                    await asyncio.wait([trained], timeout=PATIENCE_SECONDS / PATIENCE_TICKS)
                if not trained.done():
                    for other in self._of(trial.key):
                        other.absent = other.due is None
                    self._train_if_all_wait(trial.key)
        trained.result()

    def _train_if_all_wait(self, key: Hashable) -> None:
        waiting = [trial for trial in self._of(key) if trial.due is not None]
        if not waiting or any(trial.due is None and not trial.absent for trial in self._of(key)):
            return
        fault = None
        with ExitStack() as training:
            for trial in waiting:
                training.enter_context(trial.timing.part("train"))
            try:
                self._trainers.setdefault(key, Trainer()).train([trial.due for trial in waiting if trial.due])
            except Exception as error:  # each of them raises it
                fault = error
                self._trainers.pop(key)
        for trial in waiting:
            trial.due = None
            assert trial.trained is not None
            if fault is None:
                trial.trained.set_result(None)
            else:
                trial.trained.set_exception(fault)

    def _of(self, key: Hashable) -> list[_Trial]:
        return [trial for trial in self._trials.values() if trial.key == key]
