"""From the members' scores to a trial's objective: always finite, in the metric's own unit."""

from collections.abc import Sequence

from study.metrics import METRICS
from study.plan import TrialPlan
from study.stability import aggregate
from study.trial_folder import Row


def objective(plan: TrialPlan, rows: Sequence[Row]) -> float:
    """The aggregate of the scores in one evaluation's rows, one row per seed."""
    higher = METRICS[plan.metric].higher_is_better
    return aggregate([row["score"] for row in rows], plan.aggregate, higher)


def evaluations(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """Curve rows grouped by evaluation, in order."""
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["evaluation"], []).append(row)
    return grouped


def objectives(plan: TrialPlan, rows: Sequence[Row]) -> list[tuple[int, float]]:
    """A trial's curve of (evaluation, objective)."""
    return [(number, objective(plan, group)) for number, group in evaluations(rows).items()]
