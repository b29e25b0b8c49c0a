"""Whether a cluster has a node left that could train."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from study.plan import StudyPlan
from study.runner.cluster import nodes_with

LOOK_SECONDS = 5.0


class NodesLeft(Callback):
    """Says when no node is left that has what a trial needs, and when there is one again.

    It looks only while no trial runs: where Ray's head has died, which `Watch` sees, its answer never comes.
    """

    def __init__(self, plan: StudyPlan, say: Callable[[str], None]) -> None:
        self._say = say
        self._needs = plan.cpus_per_trial, plan.gpus_per_trial
        self._some = True
        self._look_again = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Ray pickles its callbacks to restore them; a study resumes from its folder instead."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        del iteration, info
        if time.monotonic() < self._look_again:
            return
        self._look_again = time.monotonic() + LOOK_SECONDS
        some = any(trial.status == Trial.RUNNING for trial in trials) or nodes_with(*self._needs) > 0
        if some and not self._some:
            self._say("a node has joined the cluster: the study goes on")
        elif not some and self._some:
            needs = "CPUs: {:g}, GPUs: {:g}".format(*self._needs)
            self._say(
                f"no node is left in the cluster with what a trial needs ({needs}): the study waits for one"
            )
        self._some = some
