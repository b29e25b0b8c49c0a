"""How a study searches a space, in sentences, before it begins."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

from study.config import TrialConfig
from study.plan import StudyPlan
from study.space import Space

CLOCKS = ("n_critic", "batch_size")  # what turns kimg into generator updates
MAP = "made to map it: importances, regions and failure rates are those of the space"
FIND = (
    "made to find its best: importances, regions and failure rates are of what was tried and let live "
    "(to map: --map)"
)


def purpose(plan: StudyPlan, space: str) -> str:
    """Which of the two kinds a study of a space is, and what that allows."""
    return MAP if plan.maps(space) else FIND


def how_searched(plan: StudyPlan, space: Space) -> Iterator[str]:
    """Who proposes trials, who stops them, where the paper's default is, and what can't be judged early."""
    name, scheduler = space.name, plan.schedulers[space.name]
    rungs = [plan.eval_kimg * rung for rung in space.rungs(plan.evaluations)]
    stopped = "not stopped early" if scheduler == "fifo" else f"stopped early by {scheduler}"
    if scheduler == "asha" and rungs:
        at = ", ".join(f"{kimg:.3g}" for kimg in rungs)
        stopped += f" at kimg {at}, but not before {plan.min_updates} generator updates"
    yield f"{name}: {plan.trials[name]} trials by {plan.samplers[name]}, {stopped}"
    yield f"{name}: {purpose(plan, name)}"
    _, outside = space.default(plan.dataset)
    if outside:
        yield f"{name}: no trial has the paper's default, which is not in the space: {outside}"
    else:
        yield f"{name}: trial 0 has the paper's default"
    if scheduler == "asha" and rungs:
        yield from _never_judged(plan, space, rungs[-1])


def _never_judged(plan: StudyPlan, space: Space, last_rung: float) -> Iterator[str]:
    """Which configurations early stopping can't judge, as they make too few updates by its last rung.

    A warning where one makes too few in the whole budget.
    """
    for model in space.models():
        unjudged = [
            c for c in _shapes(plan, space, model) if c.generator_updates(last_rung) < plan.min_updates
        ]
        if not unjudged:
            continue
        told = ", ".join(
            f"{c.n_critic} x {c.batch_size} ({c.generator_updates(last_rung)})" for c in unjudged
        )
        yield f"{model}: never stopped early, for want of generator updates at kimg {last_rung:.3g}:"
        yield f"  n_critic x batch_size {told}"
        slowest = min(unjudged, key=lambda c: c.generator_updates(plan.kimg))
        if (updates := slowest.generator_updates(plan.kimg)) < plan.min_updates:
            kimg = math.ceil(plan.kimg * plan.min_updates / max(updates, 1))
            shape = f"n_critic {slowest.n_critic} and batch_size {slowest.batch_size}"
            yield f"warning: {model} with {shape} makes {updates} generator updates in all: that tells little"
            yield f"  (--kimg {kimg} would make {plan.min_updates})"


def _shapes(plan: StudyPlan, space: Space, model: str) -> Iterator[TrialConfig]:
    """A configuration of the model for each n_critic and batch size at the ends of the space."""
    clocks = {name: space.searched[name].ends for name in CLOCKS if name in space.searched}
    known: dict[str, Any] = {**space.constants, "model": model, "dataset": plan.dataset}
    fixed = {name: known[name] for name in (*CLOCKS, "model", "dataset") if name in known}
    for values in product(*clocks.values()):
        yield TrialConfig.from_dict(fixed | dict(zip(clocks, values, strict=True)))
