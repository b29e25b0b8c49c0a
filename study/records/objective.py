"""From the members' scores to a trial's objective: always finite, in the metric's own unit."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from study.metrics import METRICS
from study.metrics.stability import aggregate
from study.plan import TrialPlan
from study.records.schema import Row

TIE = 1e-9


def objective(plan: TrialPlan, rows: Sequence[Row]) -> float:
    """The aggregate of the scores in one evaluation's rows, one row per seed."""
    higher = METRICS[plan.metric].higher_is_better
    return aggregate([row["score"] for row in rows], plan.aggregate, higher)


def rank(plan: TrialPlan, rows: Sequence[Row]) -> float:
    """The objective as schedulers compare it: of trials whose members' scores tie the worse ranks worse.

    No member scores worse than its price, successive halving lets ties go on, and where most of a rung is at
    that price it is everybody. What a member's raw metric is beyond its score moves the objective by less
    than a billionth.
    """
    value = objective(plan, rows)
    higher = METRICS[plan.metric].higher_is_better
    beyond = []
    for row in rows:
        raw, score = row.get(plan.metric), row["score"]
        if raw is None:  # nothing to compare, as of a diverged member: the worst
            beyond.append(1.0)
        else:
            excess = abs(raw - score) / (abs(score) or 1.0)
            beyond.append(excess / (1 + excess))
    worse = TIE * (abs(value) or 1.0) * sum(beyond) / len(beyond)
    return value - worse if higher else value + worse


def evaluations(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """Curve rows grouped by evaluation, in order."""
    grouped: dict[int, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["evaluation"], []).append(row)
    return grouped


def check_order(seeds: Sequence[int], rows: Sequence[Row]) -> None:
    """Raise ValueError where rows are not one of each seed, evaluation after evaluation.

    A kill may have cut the last evaluation off; one that lasts longer than its interval leaves out a number.
    """
    evaluation = -1
    for number, row in enumerate(rows):
        place = number % len(seeds)
        follows = row["evaluation"] > evaluation if place == 0 else row["evaluation"] == evaluation
        if not follows or row["seed"] != seeds[place]:
            raise ValueError(
                f"row {number + 1} of its curve, of seed {row['seed']} at evaluation {row['evaluation']}, "
                f"does not follow: seed {seeds[place]} is due"
            )
        evaluation = row["evaluation"]


def objectives(plan: TrialPlan, rows: Sequence[Row]) -> list[tuple[int, float]]:
    """A trial's curve of (evaluation, objective). Raises ValueError: they are not rows of this plan."""
    check_order(plan.seeds, rows)
    return [(number, objective(plan, group)) for number, group in evaluations(rows).items()]


def is_best_yet(plan: TrialPlan, rows: Sequence[Row]) -> bool:
    """Whether the objective is better at the last evaluation in `rows` than at every one before."""
    *before, (_, last) = objectives(plan, rows)
    earlier = [value for _, value in before]
    if METRICS[plan.metric].higher_is_better:
        return last > max(earlier, default=-math.inf)
    return last < min(earlier, default=math.inf)


class Standing(NamedTuple):
    """What a scheduler goes by, of one evaluation."""

    evaluation: int
    rank: float
    generator_updates: int


def standings(plan: TrialPlan, rows: Sequence[Row]) -> list[Standing]:
    """A trial's curve, as schedulers see it. Raises ValueError: they are not rows of this plan."""
    check_order(plan.seeds, rows)
    return [
        Standing(number, rank(plan, group), group[0]["generator_updates"])
        for number, group in evaluations(rows).items()
    ]
