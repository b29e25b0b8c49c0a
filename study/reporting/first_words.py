"""How a study searches a space, in sentences, before it begins."""

from collections.abc import Iterator

from study.config import TrialConfig
from study.plan import StudyPlan
from study.space import Space


def how_searched(plan: StudyPlan, space: Space) -> Iterator[str]:
    """Who proposes trials, who stops them, where the paper's default is, and what can't be judged early."""
    name, scheduler = space.name, plan.schedulers[space.name]
    rungs = [plan.eval_kimg * rung for rung in space.rungs(plan.evaluations)]
    stopped = "not stopped early" if scheduler == "fifo" else f"stopped early by {scheduler}"
    if scheduler == "asha" and rungs:
        at = ", ".join(f"{kimg:.3g}" for kimg in rungs)
        stopped += f" at kimg {at}, but not before {plan.min_updates} generator updates"
    yield f"{name}: {plan.trials[name]} trials by {plan.samplers[name]}, {stopped}"
    _, outside = space.default(plan.dataset)
    if outside:
        yield f"{name}: no trial has the paper's default, which is not in the space: {outside}"
    else:
        yield f"{name}: trial 0 has the paper's default"
    if scheduler == "asha" and rungs:
        yield from _never_judged(plan, space)


def _never_judged(plan: StudyPlan, space: Space) -> Iterator[str]:
    """A warning where a configuration of the space ends before early stopping may judge it."""
    for model in space.models():
        largest = {name: value for name, value in space.largest().items() if name != "model"}
        config = TrialConfig(model=model, dataset=plan.dataset, **largest)
        updates = config.generator_updates(plan.kimg)
        if updates < plan.min_updates:
            kimg = plan.kimg * plan.min_updates / max(updates, 1)
            shape = f"batch_size {config.batch_size} and n_critic {config.n_critic}"
            yield f"warning: {model} with {shape} is never judged early: {updates} generator updates in all"
            yield f"  (--kimg {kimg:.2g} would do, or a smaller --min-updates)"
