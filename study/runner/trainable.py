"""A trial as Ray Tune sees it: every step is the next evaluation. Its state is in its folder."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ray.tune import Trainable

from study.plan import TrialPlan
from study.trial import RUNNING, Evaluation, run
from study.trial_folder import TrialFolder


class TrialTrainable(Trainable):
    """Runs trials one after the other in one worker process.

    The trial's folder is the only state: a trial that Ray starts again, in this worker or another,
    continues from the folder's last checkpoint.
    """

    def setup(self, config: dict[str, Any]) -> None:
        self._evaluations: Iterator[Evaluation] | None = None
        torch.set_num_threads(config["threads"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take on another trial without a new process."""
        self._close()
        torch.set_num_threads(new_config["threads"])
        self.config = new_config
        return True

    def step(self) -> dict[str, Any]:
        folder = TrialFolder(Path(self.config["folder"]))
        try:
            if self._evaluations is None:
                plan = TrialPlan.from_dict(self.config["plan"])
                self._evaluations = run(plan, folder, torch.device(self.config["device"]))
            evaluation = next(self._evaluations)
        except Exception:
            self._close()
            folder.record_fault(traceback.format_exc())
            raise
        return {
            "objective": evaluation.objective,
            "evaluation": evaluation.evaluation,
            "kimg": evaluation.kimg,
            "state": evaluation.state,
            "summary": evaluation.summary(),
            "image": str(evaluation.image) if evaluation.image else None,
            "done": evaluation.state != RUNNING,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Ray saves a trial it pauses. The folder holds its checkpoint: let go of it."""
        del checkpoint_dir
        self._close()
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
