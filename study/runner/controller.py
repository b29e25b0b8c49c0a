"""Ray Tune's controller, to which a process that dies as it is given its next trial is one loss of that.

Ray 2.60 hears of it twice, from the process and from the call that was to reset it, and takes the second for
the end of all retries; were that not so, it would wait for the call for ever.
"""

import ray.tune.tune
from ray.exceptions import RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial


class Controller(TuneController):
    """What `Tuner` uses after `use_controller`."""

    def _process_trial_failure(self, trial: Trial, exception: Exception) -> None:
        """Ray calls it for a process that was lost, then for what that was asked to do."""
        if isinstance(exception, RayActorError) and trial.status == Trial.PENDING:
            return  # heard of, and to be begun again
        self._resetting_trials.discard(trial)
        super()._process_trial_failure(trial, exception)


def use_controller() -> None:
    """Have every `Tuner` of this process use it."""
    ray.tune.tune.TuneController = Controller
