"""Whether a cluster has a node left that could train."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from study.runner.cluster import nodes_with_cpus

LOOK_SECONDS = 5.0


class NodesLeft(Callback):
    """Says when no node with CPUs is left, and when there is one again.

    It looks only while no trial runs: where Ray's head has died, which `Watch` sees, its answer never comes.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
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
        some = any(trial.status == Trial.RUNNING for trial in trials) or nodes_with_cpus() > 0
        if some and not self._some:
            self._say("a node has joined the cluster: the study goes on")
        elif not some and self._some:
            self._say("no node with CPUs is left in the cluster: the study's trials wait for one to join")
        self._some = some
