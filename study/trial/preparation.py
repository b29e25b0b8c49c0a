"""Before a study's first trial: the judge is made, and what trials will cost is measured."""

import time
from collections.abc import Mapping
from typing import Any

import torch

from study.data import load
from study.machine.memory import keep_freed_memory
from study.metrics.judge.evaluator import Evaluator, evaluator_for
from study.models import CRITIC
from study.plan import TrialPlan
from study.records.trial_folder import TrialFolder
from study.training.pack import Pack
from study.trial.pack_size import iterations_per_second


def prepare(
    plans: Mapping[str, TrialPlan], folder: TrialFolder, device: torch.device, trials: int = 1
) -> dict[str, Any]:
    """What study.json is to tell of the judge, the floor and the price of a trial of each space.

    `plans`: by space, a trial that stands for all. `folder`: any trial's: the study's judges lie beside it.
    `trials`: as many share a pack.
    """
    keep_freed_memory()
    (dataset,) = {plan.config.dataset for plan in plans.values()}
    evaluator = evaluator_for(dataset, device, folder.judges)
    seconds = {space: price(plan, evaluator, device, trials) for space, plan in plans.items()}
    return {**evaluator.facts(), "measured_seconds": seconds}


def price(plan: TrialPlan, evaluator: Evaluator, device: torch.device, trials: int) -> dict[str, float]:
    """Seconds of a kimg's training and of an evaluation, of all the trial's members, timed for a moment.

    Of a pack that `trials` share, a trial's part.
    """
    members = len(plan.seeds)
    rate = iterations_per_second(plan, device, trials) / members
    shape = load(plan.config.dataset, device).sample_shape
    pack = Pack([plan.config] * members, plan.seeds, plan.study_seed, shape, device, plan.precision)
    kimg_per_iteration = pack.turns.count(CRITIC) * plan.config.batch_size / 1000
    start = time.perf_counter()
    for samples in pack.sample(evaluator.samples):
        evaluator(samples)
    pack.record_critic_statistics(evaluator.real)
    return {"per_kimg": 1 / (rate * kimg_per_iteration), "per_evaluation": time.perf_counter() - start}
