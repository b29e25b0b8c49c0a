"""Processes that train the trials sharing their packs; Ray Tune's trials ask them for evaluations."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import ray
from filelock import Timeout
from ray.exceptions import RayActorError, RayTaskError

from study.errors import StoppedError, UserError
from study.machine.files import full_disk, is_full
from study.plan import StudyPlan, TrialPlan
from study.plugins import to_send, use_sent
from study.records.trial_folder import GivenAwayError
from study.runner.workplace import Home, Workplace
from study.trial.evaluation import Evaluation, FaultError, NotHereError, SharedFaultError

CHECK_SECONDS = 0.5


class PackWorker:
    """A Ray actor: a `TrialGroup` in a process with its own CPUs and GPUs.

    When it dies, Ray starts another, and its trials continue from their folders.
    """

    def __init__(self, home: Home, threads: int, device: str, plugins: list[dict[str, str]]) -> None:
        import torch

        from study.trial.group import TrialGroup

        use_sent(plugins)
        self._workplace = Workplace(home)
        self._threads = threads
        self._device = torch.device(device)
        self._group = TrialGroup(self._device)
        self._cpu_seconds = time.process_time()

    async def prepare(self, plans: dict[str, dict[str, Any]], trials: int) -> dict[str, Any]:
        """See `study.trial.preparation`."""
        from study.trial.preparation import prepare

        self._use_threads()
        known = {space: TrialPlan.from_dict(plan) for space, plan in plans.items()}
        self._workplace.fetch_judge()
        facts = prepare(known, self._workplace.folder("any"), self._device, trials)
        self._workplace.send_judge()
        return facts

    async def pack_size(
        self, plan: dict[str, Any], largest: int, memory_share: float
    ) -> tuple[int, list[dict[str, Any]]]:
        """How many members packs of trials like `plan` should have here, and what was measured for it."""
        from study.trial.pack_size import choose, measure

        self._use_threads()
        sizes = measure(TrialPlan.from_dict(plan), self._device, largest, memory_share)
        return choose(sizes), [size.to_dict() for size in sizes]

    @ray.method(max_task_retries=-1)
    async def begin(self, plan: dict[str, Any], alone: bool) -> None:
        """See `TrialGroup.begin`. Where this process dies meanwhile, the next one is asked."""
        trial_id = plan["trial_id"]
        await self._group.begin(TrialPlan.from_dict(plan), self._workplace.folder(trial_id), alone=alone)
        self._workplace.begin(trial_id)

    @ray.method(max_task_retries=0)  # whose fault it was that this process died is not known
    async def next(self, trial_id: str) -> tuple[Evaluation, dict[str, float], float]:
        """A trial's next evaluation, its seconds by part, and this process's CPU seconds since its last.

        See `TrialGroup.next`.

        Raises:
            FaultError: the trial's own.
            StoppedError: there is no space left.
        """
        self._use_threads()
        try:
            evaluation, seconds = await self._group.next(trial_id)
            self._workplace.send(trial_id)
        except (Timeout, GivenAwayError, NotHereError, SharedFaultError, StoppedError):
            raise
        except Exception as error:  # what is behind it does not travel
            if is_full(error):
                raise StoppedError(full_disk(self._workplace.root)) from error
            raise FaultError(traceback.format_exc()) from error
        before, self._cpu_seconds = self._cpu_seconds, time.process_time()
        return evaluation, seconds, self._cpu_seconds - before

    async def drop(self, trial_id: str) -> None:
        """See `TrialGroup.drop`."""
        self._group.drop(trial_id)
        self._workplace.leave(trial_id)

    def _use_threads(self) -> None:
        import torch

        torch.set_num_threads(self._threads)  # a setting of the calling thread: Ray's, of this loop


class PackWorkers:
    """A study's pack workers, and which of them trains which trial.

    Attributes:
        trials_each: how many trials each trains at a time.
    """

    def __init__(self, plan: StudyPlan, home: Home, threads: int, device: str) -> None:
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
            .remote(home, threads, device, to_send(plan.plugins))
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

    def prepare(self, plans: Mapping[str, TrialPlan], check: Callable[[], None]) -> dict[str, Any]:
        """See `PackWorker.prepare`; the first worker does it.

        Raises:
            UserError: it can't be done.
            StoppedError: its process has died.
        """
        given = {space: plan.to_dict() for space, plan in plans.items()}
        asked = self._actors[self.names[0]].prepare.remote(given, self.trials_each)
        try:
            facts: dict[str, Any] = _answer(asked, check)
        except RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from error
            raise
        except RayActorError as error:
            reason = str(error).split("\n")[0]
            raise StoppedError(f"the process that prepares the study has died: {reason}") from error
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
