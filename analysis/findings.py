"""What is found out about a space once and told in several places: by figures, sentences and checks."""

from functools import lru_cache

from analysis.statistics import importance
from analysis.statistics.importance import Importance
from analysis.statistics.region import Region, riskiest
from analysis.statistics.stability import known
from analysis.statistics.tuned import Tuned, against_default
from analysis.tables import SpaceResults
from study.metrics.failure import Failure, failure_within

once = lru_cache(maxsize=32)


@once
def failure(results: SpaceResults) -> Failure:
    """How many of a space's seeds diverge within the budget: the figure of the study's last words."""
    rows = known(results.runs)[["study", "trial_id", "end", "kimg_at_risk"]].to_dict("records")
    return failure_within(results.plan.kimg, rows, results.stream("failure"))  # type: ignore[arg-type]


@once
def tuned(results: SpaceResults) -> Tuned | None:
    """What the best is worth beside the paper's default."""
    return against_default(results)


@once
def region(results: SpaceResults) -> Region | None:
    """Where they diverge more than elsewhere."""
    return riskiest(results, results.stream("region"))


@once
def divergence(results: SpaceResults) -> Importance:
    """What decides whether they diverge."""
    return importance.of_divergence(results, results.stream("importance of divergence"))


@once
def objective(results: SpaceResults, kimg: float) -> Importance:
    """What decides the objective at an evaluation."""
    return importance.of_objective(results, kimg, results.stream(f"importance at {kimg:g}"))
