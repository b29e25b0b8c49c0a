"""A trial as Ray Tune sees it: every step is the next evaluation. Its state is in its folder."""

import math
import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import ray
from filelock import Timeout
from ray.exceptions import RayActorError, RayTaskError
from ray.tune import Trainable

from study.errors import StoppedError
from study.machine.files import full_disk, is_full
from study.plan import TrialPlan
from study.plugins import use_sent
from study.records.trial_folder import RUNNING, GivenAwayError
from study.reporting.timing import Timing
from study.runner.workplace import Workplace
from study.trial.evaluation import Evaluation, FaultError, NotHereError, SharedFaultError

FAILED = "failed"
STOPPED = "stopped"  # of a trial that could not go on, through no fault of its own, and has not ended
WITHOUT_NEWS = (STOPPED, FAILED)
PACK_LOST = "its pack's {}; it went on from its last checkpoint, in a pack of its own"
# Another process has the trial, still or again, or the pack worker's has died: Ray asks once more.
LOSSES = (RayActorError, Timeout, GivenAwayError, NotHereError)


class TrialTrainable(Trainable):
    """Runs trials one after the other: in this process, or by asking the pack worker that they share.

    The trial's folder is the only state: a trial that Ray starts again, in this process or another,
    continues from the folder's last checkpoint.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._prepare(config)
        self._evaluations: Iterator[Evaluation] | None = None
        self._timing = Timing("next_trial")
        self._cpu_seconds = time.process_time()
        self._worker_cpu_seconds = 0.0
        self._dropped: Any = None
        self._workplace = Workplace(config["home"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another trial without a new process."""
        self._close()
        self._prepare(new_config)
        self.config = new_config
        return True

    def _prepare(self, config: dict[str, Any]) -> None:
        use_sent(config["plugins"])
        self._trial_id = config["plan"]["trial_id"]
        if config["worker"] is None:
            import torch  # not above: neither the driver nor who asks a worker has to wait for it

            torch.set_num_threads(config["threads"])

    def step(self) -> dict[str, Any]:
        try:
            if self._evaluations is None:
                self._evaluations = self._start()
            evaluation = next(self._evaluations)
        except LOSSES:
            self._close()
            raise
        except Exception as error:
            # A fault of software ends the trial; after the loss of a process Ray begins it again.
            self._close()
            nothing = {"objective": math.nan, "rank": math.nan, "done": True}
            cause = error.cause if isinstance(error, RayTaskError) else error  # the pack worker's
            if is_full(cause):
                cause = StoppedError(full_disk(self._workplace.root))
            state = STOPPED if isinstance(cause, StoppedError) else FAILED
            known = isinstance(cause, StoppedError | FaultError)
            return nothing | {"state": state, "why": str(cause) if known else traceback.format_exc()}
        return {
            "objective": evaluation.objective,
            "rank": evaluation.rank,
            "evaluation": evaluation.evaluation,
            "generator_updates": evaluation.rows[0]["generator_updates"],
            "kimg": evaluation.kimg,
            "state": evaluation.state,
            "done": evaluation.state != RUNNING,
            # In a tuple, where Ray does not look for metrics of its own to keep.
            "news": (evaluation.summary(), evaluation.image, self._cost(), evaluation.note),
        }

    def _start(self) -> Iterator[Evaluation]:
        if self.config["worker"] is not None:
            return self._ask(self.config["worker"])
        return self._train()

    def _train(self) -> Iterator[Evaluation]:
        """The trial's evaluations, made here."""
        with self._timing.part("load"):
            import torch

            from study.trial.run import run

            plan = TrialPlan.from_dict(self.config["plan"])
            device = torch.device(self.config["device"])
            folder = self._workplace.begin(self._trial_id)
        try:
            with closing(run(plan, folder, device, self._timing)) as evaluations:
                for evaluation in evaluations:
                    with self._timing.part("report"):
                        self._workplace.send(self._trial_id)
                    yield evaluation
        finally:
            self._workplace.leave(self._trial_id)

    def _ask(self, name: str) -> Iterator[Evaluation]:
        """The trial's evaluations by the pack worker of this name."""
        worker = ray.get_actor(name)
        alone, note = self.config["alone"], ""
        try:
            while True:
                try:
                    with self._timing.part("wait"):
                        ray.get(worker.begin.remote(self.config["plan"], alone))
                    for evaluation in self._asked(worker):
                        yield replace(evaluation, note=" ".join(filter(None, (note, evaluation.note))))
                        note = ""
                    return
                except (RayActorError, NotHereError, SharedFaultError) as error:
                    if alone:
                        raise
                    # It may have been another trial's fault. The next time it is this one's.
                    what = "training failed" if isinstance(error, SharedFaultError) else "process died"
                    alone, note = True, PACK_LOST.format(what)
        finally:
            self._dropped = worker.drop.remote(self._trial_id)

    def _asked(self, worker: Any) -> Iterator[Evaluation]:
        """The evaluations of a trial that the worker has begun."""
        state = RUNNING
        while state == RUNNING:
            with self._timing.part("wait"):
                evaluation, seconds, cpu_seconds = ray.get(worker.next.remote(self._trial_id))
                self._timing.add(seconds)
            self._worker_cpu_seconds += cpu_seconds
            state = evaluation.state
            with self._timing.part("report" if state == RUNNING else "next_trial"):
                yield evaluation

    def _cost(self) -> tuple[str, dict[str, float], float]:
        """This process, its seconds by part since its last report, and the CPU seconds of these."""
        before, self._cpu_seconds = self._cpu_seconds, time.process_time()
        by_worker, self._worker_cpu_seconds = self._worker_cpu_seconds, 0.0
        process = f"{socket.gethostname()}-{os.getpid()}"
        return process, self._timing.take(), self._cpu_seconds - before + by_worker

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Ray saves a trial it pauses. The folder holds its checkpoint: let go of it."""
        del checkpoint_dir
        self._close()
        if self._dropped is not None:
            with suppress(RayActorError):  # a dead worker has forgotten it
                ray.get(self._dropped)  # who continues it may ask sooner than the worker hears of this
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """The next step continues from the folder."""

    def cleanup(self) -> None:
        self._close()

    def _close(self) -> None:
        """End the trial's generator, so that its lock is free for whoever continues it."""
        if self._evaluations is not None:
            self._evaluations.close()  # type: ignore[attr-defined]
            self._evaluations = None
