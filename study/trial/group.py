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
from study.trial.evaluation import Evaluation, NotHereError, SharedFaultError
from study.trial.run import steps

PATIENCE_SECONDS, PATIENCE_TICKS = 5.0, 10


@dataclass(eq=False)
class _Trial:
    """A trial that is here, or comes: `let_in`.

    `due`, `trained`: what it waits for; `absent`: nobody waits for it.
    """

    trial_id: str
    key: Hashable
    steps: Iterator[Due | Evaluation]
    timing: Timing
    alone: bool
    let_in: "asyncio.Future[None]"
    due: Due | None = None
    trained: "asyncio.Future[None] | None" = None
    absent: bool = False


class TrialGroup:
    """The trials of one process and device; everything runs in one thread, in the loop of its caller.

    A trial is here from when it begins until it has ended or is dropped. Training to the next evaluation
    starts when all trials of a shape key that are here wait for it. When they have waited
    PATIENCE_SECONDS for one that nobody asks for, they train without it.

    One that is to be alone waits until nobody else is here; until it has gone the others wait.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._line: list[_Trial] = []  # who came first begins first
        self._trials: dict[str, _Trial] = {}
        self._trainers: dict[Hashable, Trainer] = {}

    async def begin(self, plan: TrialPlan, folder: TrialFolder, *, alone: bool = False) -> None:
        """Have a trial here, from now on or from its folder's checkpoint; returns when there is room.

        Whoever asked for it before does so no more.
        """
        self.drop(plan.trial_id)
        timing = Timing("wait")
        key = (plan.config.shape_key, plan.precision, plan.study_seed)
        training = steps(plan, folder, self._device, timing)
        let_in = asyncio.get_running_loop().create_future()
        self._line.append(_Trial(plan.trial_id, key, training, timing, alone, let_in))
        self._let_in()
        await let_in

    async def next(self, trial_id: str) -> tuple[Evaluation, dict[str, float]]:
        """The next evaluation of a trial that has begun, and the seconds since it was asked for, by part.

        Raises:
            NotHereError: the trial is not here.
            SharedFaultError: a fault in the training of its pack, of several trials; all are dropped.
            Exception: the trial's own fault; it is dropped.
        """
        trial = self._trials.get(trial_id)
        if trial is None:
            raise NotHereError(f"{trial_id} is not here")
        assert trial.due is None, f"{trial_id} is being asked for twice at a time"
        trial.absent = False
        trial.timing.take()  # the time since its last evaluation is the caller's
        try:
            while isinstance(event := next(trial.steps), Due):
                await self._trained(trial, event)
        except BaseException:
            if self._trials.get(trial_id) is trial:
                self.drop(trial_id)
            raise
        if event.state != RUNNING:
            self.drop(trial_id)
        return event, trial.timing.take()

    def drop(self, trial_id: str) -> None:
        """Forget a trial, so that its folder is free and the others don't wait for it."""
        for waiting in [known for known in self._line if known.trial_id == trial_id]:
            waiting.let_in.cancel()
            self._line.remove(waiting)
        trial = self._trials.pop(trial_id, None)
        if trial is not None:
            if trial.trained is not None:
                trial.trained.cancel()
            trial.steps.close()  # type: ignore[attr-defined]
            if self._of(trial.key):
                asyncio.get_running_loop().call_soon(self._train_if_all_wait, trial.key)
            else:
                self._trainers.pop(trial.key, None)
        self._let_in()

    def _let_in(self) -> None:
        while self._line and self._has_room(alone=self._line[0].alone):
            first = self._line.pop(0)
            self._trials[first.trial_id] = first
            first.let_in.set_result(None)

    def _has_room(self, *, alone: bool) -> bool:
        return not (self._trials if alone else any(trial.alone for trial in self._trials.values()))

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
        fault: Exception | None = None
        with ExitStack() as training:
            for trial in waiting:
                training.enter_context(trial.timing.part("train"))
            try:
                self._trainers.setdefault(key, Trainer()).train([trial.due for trial in waiting if trial.due])
            except Exception as error:  # each of them raises it
                self._trainers.pop(key)
                fault = error
                if len(waiting) > 1:
                    fault = SharedFaultError(repr(error))
                    fault.__cause__ = error
        for trial in waiting:
            trial.due = None
            assert trial.trained is not None
            if fault is None:
                trial.trained.set_result(None)
            else:
                trial.trained.set_exception(fault)

    def _of(self, key: Hashable) -> list[_Trial]:
        return [trial for trial in self._trials.values() if trial.key == key]
