"""Processes that train the trials sharing their packs; Ray Tune's trials ask them for evaluations."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from study.errors import UserError
from study.plan import StudyPlan, TrialPlan
from study.plugins import to_send, use_sent
from study.records.trial_folder import TrialFolder
from study.trial.evaluation import Evaluation

CHECK_SECONDS = 0.5


class PackWorker:
    """A Ray actor: a `TrialGroup` in a process with its own CPUs and GPUs.

    When it dies, Ray starts another and asks it once more: its trials continue from their folders.
    """

    def __init__(self, threads: int, device: str, plugins: list[dict[str, str]]) -> None:
        import torch

        from study.trial.group import TrialGroup

        use_sent(plugins)
        self._threads = threads
        self._device = torch.device(device)
        self._group = TrialGroup(self._device)
        self._cpu_seconds = time.process_time()

    async def prepare(self, plans: dict[str, dict[str, Any]], folder: str, trials: int) -> dict[str, Any]:
        """See `study.trial.preparation`."""
        from study.trial.preparation import prepare

        self._use_threads()
        known = {space: TrialPlan.from_dict(plan) for space, plan in plans.items()}
        return prepare(known, TrialFolder(Path(folder)), self._device, trials)

    async def pack_size(
        self, plan: dict[str, Any], largest: int, memory_share: float
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many members packs of trials like `plan` should have here, and what was measured for it."""
        from study.trial.pack_size import choose, measure

        self._use_threads()
        sizes = measure(TrialPlan.from_dict(plan), self._device, largest, memory_share)
        return choose(sizes), [size.to_dict() for size in sizes]

    async def next(self, plan: dict[str, Any], folder: str) -> tuple[Evaluation, dict[str, float], float]:
        """A trial's next evaluation, its seconds by part, and this process's CPU seconds since its last.

        A fault is recorded in the trial's folder and raised.
        """
        self._use_threads()
        trial = TrialFolder(Path(folder))
        try:
            evaluation, seconds = await self._group.next(TrialPlan.from_dict(plan), trial)
        except Exception:
            trial.record_fault(traceback.format_exc())
            raise
        before, self._cpu_seconds = self._cpu_seconds, time.process_time()
        return evaluation, seconds, self._cpu_seconds - before

    async def drop(self, trial_id: str) -> None:
        self._group.drop(trial_id)

    def _use_threads(self) -> None:
        import torch

        torch.set_num_threads(self._threads)  # a setting of the calling thread: Ray's, of this loop


class PackWorkers:
    """A study's pack workers, and which of them trains which trial.

    Attributes:
        trials_each: how many trials each trains at a time.
    """

    def __init__(self, plan: StudyPlan, threads: int, device: str) -> None:
        self.names = [f"pack-{number}" for number in range(plan.concurrency)]
        self._actors = {
            name: ray.remote(PackWorker)
            .options(
                name=name,
                num_cpus=plan.cpus_per_trial,
                num_gpus=plan.gpus_per_trial,
                max_restarts=-1,
                max_task_retries=1,
            )
            .remote(threads, device, to_send(plan.plugins))
            for name in self.names
        }
        self.trials_each = 1
        self._at: dict[str, tuple[str, Hashable]] = {}

    def pack_size(
        self, plan: TrialPlan, largest: int, memory_share: float, check: Callable[[], None]
    ) -> tuple[int, list[dict[str, Any]]]:
        """See `PackWorker.pack_size`; the first worker measures. Meanwhile `check` is called."""
        asked = self._actors[self.names[0]].pack_size.remote(plan.to_dict(), largest, memory_share)
        size: tuple[int, list[dict[str, Any]]] = _answer(asked, check)
        return size

    def prepare(
        self, plans: Mapping[str, TrialPlan], folder: str, check: Callable[[], None]
    ) -> dict[str, Any]:
        """See `PackWorker.prepare`; the first worker does it. Raises UserError: it can't be done."""
        given = {space: plan.to_dict() for space, plan in plans.items()}
        asked = self._actors[self.names[0]].prepare.remote(given, folder, self.trials_each)
        try:
            facts: dict[str, Any] = _answer(asked, check)
        except RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from error
            raise
        except RayActorError as error:
            reason = str(error).split("\n")[0]
            raise UserError(f"the process that prepares the study has died: {reason}") from error
        return facts

    def stop(self) -> None:
        """End the processes, so that others can have what they held."""
        for actor in self._actors.values():
            ray.kill(actor)

    def assign(self, plan: TrialPlan) -> str:
        """The name of a worker for a new trial: one with room, the most companions, the fewest trials."""
        load = Counter(name for name, _ in self._at.values())
        companions = Counter(name for name, key in self._at.values() if key == plan.config.shape_key)

        def preference(name: str) -> tuple[int, int, int]:
            too_many = max(0, load[name] + 1 - self.trials_each)
            return too_many, -companions[name], load[name]

        chosen = min(self.names, key=preference)
        self._at[plan.trial_id] = (chosen, plan.config.shape_key)
        return chosen

    def companions(self, trial_id: str) -> tuple[str, ...]:
        """The other trials that now share the pack of one that was assigned."""
        place = self._at[trial_id]
        return tuple(name for name, other in self._at.items() if other == place and name != trial_id)

    def release(self, trial_id: str) -> None:
        """The trial has ended: nobody is to wait for it any more."""
        name, _ = self._at.pop(trial_id, (None, None))
        if name is not None:
            self._actors[name].drop.remote(trial_id)


def _answer(asked: Any, check: Callable[[], None]) -> Any:
    """What an actor answers. Meanwhile `check` is called."""
    while not ray.wait([asked], timeout=CHECK_SECONDS)[0]:
        check()
    return ray.get(asked)
