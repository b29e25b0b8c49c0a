"""A trial's objective is the aggregate of its members' scores, in the metric's own unit."""

from dataclasses import replace
from typing import Any

import pytest

from study.metrics import METRICS
from study.records.objective import evaluations, is_best_yet, objective, objectives, rank, standings
from tests.studies import trial_plan

PLAN = trial_plan(seeds=(0, 1, 2))


def rows(evaluation: int, *scores: float) -> list[dict[str, Any]]:
    kept = {"evaluation": evaluation, "generator_updates": 7}
    return [{"seed": k, "score": score, **kept} for k, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("metric", "aggregate", "expected"),
    [
        ("w1", "mean", 3.0),
        ("w1", "median", 2.0),
        ("w1", "cvar", 6.0),  # the worst distance is the largest
        ("hq", "cvar", 1.0),  # the worst quality is the smallest
    ],
)
def test_the_objective_is_the_aggregate_of_the_scores(metric: str, aggregate: str, expected: float) -> None:
    plan = replace(PLAN, metric=metric, aggregate=aggregate)
    assert objective(plan, rows(0, 1.0, 6.0, 2.0)) == expected


def test_rows_are_grouped_by_evaluation_in_order() -> None:
    history = rows(0, 1.0, 2.0) + rows(1, 3.0, 4.0)
    assert evaluations(history) == {0: history[:2], 1: history[2:]}


def test_a_trials_curve_has_one_objective_per_evaluation() -> None:
    history = rows(0, 6.0, 6.0, 6.0) + rows(1, 1.0, 6.0, 2.0)
    assert objectives(PLAN, history) == [(0, 6.0), (1, 3.0)]


def test_a_trial_without_evaluations_has_no_objective() -> None:
    assert objectives(PLAN, []) == []


@pytest.mark.parametrize(
    ("metric", "scores", "expected"),
    [
        ("w1", [6.0], True),
        ("w1", [6.0, 5.0], True),
        ("w1", [4.0, 6.0, 5.0], False),
        ("w1", [6.0, 5.0, 5.0], False),  # no better
        ("hq", [0.1, 0.5], True),
        ("hq", [0.5, 0.1, 0.2], False),
    ],
)
def test_an_evaluation_is_the_best_yet_if_it_is_better_than_all_before(
    metric: str, scores: list[float], expected: bool
) -> None:
    history = [row for number, score in enumerate(scores) for row in rows(number, score, score, score)]
    assert is_best_yet(replace(PLAN, metric=metric), history) is expected


def judged(*values: float | None, metric: str = "w1", price: float = 6.0) -> list[dict[str, Any]]:
    """One evaluation's rows with their raw metric; None: diverged."""
    clamp = max if METRICS[metric].higher_is_better else min
    scores = [price if value is None else clamp(value, price) for value in values]
    raw = [{metric: value} for value in values]
    return [row | more for row, more in zip(rows(0, *scores), raw, strict=True)]


def test_above_the_price_the_rank_is_the_objective() -> None:
    history = judged(1.0, 6.0, 2.0)
    assert rank(PLAN, history) == objective(PLAN, history) == 3.0


@pytest.mark.parametrize(
    ("metric", "values"), [("w1", [6.0, 6.5, 60.0, 1e4, None]), ("mode_coverage", [0.0, None])]
)
@pytest.mark.parametrize("aggregate", ["mean", "median", "cvar"])
def test_of_ties_at_the_price_the_worse_ranks_worse(
    metric: str, values: list[float | None], aggregate: str
) -> None:
    plan = replace(PLAN, metric=metric, aggregate=aggregate)
    price = values[0]
    assert price is not None
    tied = [judged(value, price, price, metric=metric, price=price) for value in values]
    assert {objective(plan, history) for history in tied} == {price}
    found = [rank(plan, history) for history in tied]
    assert found == sorted(found, reverse=METRICS[metric].higher_is_better)
    assert len(set(found)) == len(found)


def test_a_rank_moves_an_objective_by_less_than_a_billionth() -> None:
    history = judged(None, None, 1e30)
    assert 0 < rank(PLAN, history) - objective(PLAN, history) <= 6.0e-9


def test_a_curve_has_one_rank_per_evaluation() -> None:
    history = judged(6.0, 6.0, 6.0) + [row | {"evaluation": 1} for row in judged(1.0, 6.0, 2.0)]
    assert standings(PLAN, history) == [(0, 6.0, 7), (1, 3.0, 7)]
