"""A trial's objective is the aggregate of its members' scores, in the metric's own unit."""

from dataclasses import replace
from typing import Any

import pytest

from study.config import TrialConfig
from study.objective import evaluations, objective, objectives
from study.plan import TrialPlan

PLAN = TrialPlan(
    study="s",
    space="space",
    trial_id="space-00000",
    config=TrialConfig(model="wgan_gp", dataset="ring8"),
    seeds=(0, 1, 2),
    study_seed=0,
    kimg=2.0,
    eval_kimg=1.0,
    metric="w1",
    aggregate="mean",
)


def rows(evaluation: int, *scores: float) -> list[dict[str, Any]]:
    return [{"seed": k, "evaluation": evaluation, "score": score} for k, score in enumerate(scores)]


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
