"""Importance: closed forms of total effects, what a table can't tell, and what it can."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.importance import (
    LEAST,
    Importance,
    importance,
    of_divergence,
    rungs,
    total_effects,
)
from analysis.tables import SpaceResults
from tests.analysis.made import KIMG, UNTRAINED, made


def test_total_effects_of_a_sum_are_shares_of_its_variance() -> None:
    """Of x + 2 y + 0 z, x and y uniform: 1 and 4 of 5."""
    found = total_effects(lambda x: x[:, 0] + 2 * x[:, 1], 3, np.random.default_rng(0), points=20_000)
    assert found == pytest.approx([0.2, 0.8, 0], abs=0.02)


def test_total_effects_count_what_two_do_together_for_both() -> None:
    """Of x y with x, y = -1 or 1 each says nothing alone, and takes part in everything."""
    levels = {0: np.array([-1.0, 1.0]), 1: np.array([-1.0, 1.0])}
    found = total_effects(lambda x: x[:, 0] * x[:, 1], 2, np.random.default_rng(0), levels, points=20_000)
    assert found == pytest.approx([1, 1], abs=0.02)


def test_nothing_has_an_effect_on_a_constant() -> None:
    assert total_effects(lambda x: np.ones(len(x)), 2, np.random.default_rng(0)).tolist() == [0, 0]


def small() -> SpaceResults:
    """Two trials of two seeds, evaluated at kimg 5, 10, 15, 20; no seed diverges."""
    return made(np.random.default_rng(0), trials=2)


def test_an_objective_at_an_evaluation_is_that_of_the_seeds_then() -> None:
    results = small()
    at = results.curves[results.curves["evaluation"] == 1]
    assert results.objectives(5.0).to_dict() == at.groupby("trial_id")["score"].mean().to_dict()


def test_trials_that_were_stopped_before_an_evaluation_have_no_objective_there() -> None:
    results = made(np.random.default_rng(0), trials=6, pruned=lambda u: np.where(u["lr_g"] > 0.5, 1.1, 0.0))
    completed = results.trials[results.trials["state"] == "completed"]
    assert 0 < len(completed) < 6
    assert results.objectives(KIMG).index.tolist() == completed["trial_id"].tolist()
    assert len(results.objectives(KIMG / 2)) == 6


def test_a_seed_that_diverged_keeps_its_price() -> None:
    results = made(np.random.default_rng(0), trials=2, seeds=1, risk=lambda u: np.arange(len(u)) < 1)
    assert results.trials["state"].tolist() == ["diverged", "completed"]
    assert results.objectives(KIMG).iloc[0] == UNTRAINED


def test_rungs_are_evaluations_that_were_made() -> None:
    results = made(np.random.default_rng(0), trials=1, evaluations=9)
    assert rungs(results) == pytest.approx([KIMG / 9, KIMG / 3, KIMG])


def told(y: np.ndarray, results: SpaceResults) -> Importance:
    values = pd.Series(y, results.trials["trial_id"])
    return importance(results, values, "objective", KIMG, np.random.default_rng(0))


def test_few_trials_cannot_tell() -> None:
    found = told(np.arange(12.0), made(np.random.default_rng(0), 12))
    assert (found.n, found.effects, found.matter) == (12, (), [])
    assert found.cannot_tell == f"12 trials inform, it takes {LEAST}"


def test_a_constant_cannot_tell() -> None:
    found = told(np.zeros(64), made(np.random.default_rng(0), 64))
    assert found.cannot_tell == "it differs in fewer than 5 of 64 trials"


def test_a_hyperparameter_that_hardly_varies_is_left_out() -> None:
    results = made(np.random.default_rng(0), 64)
    one_value = results.trials.assign(lr_g=[1e-3] * 61 + [1e-4] * 3)
    found = told(np.arange(64.0), replace(results, trials=one_value))
    assert {effect.name for effect in found.effects} == {"lr_d", "beta1", "batch_size", "lambda_gp"}


def test_what_decides_is_named_and_what_does_nothing_is_not() -> None:
    results = made(np.random.default_rng(0), 64)
    noise = 0.1 * np.random.default_rng(1).normal(size=64)
    found = told(results.trials["beta1"].to_numpy() ** 2 + noise, results)
    assert found.matter == ["beta1"]
    first = found.effects[0]
    assert found.threshold is not None
    assert first.low < first.share <= first.high <= 1
    assert found.effects[1].share < found.threshold < first.share


def test_trials_that_were_stopped_early_do_not_inform_of_divergence() -> None:
    results = made(np.random.default_rng(0), 40, pruned=lambda u: np.where(u["lr_g"] > 0.5, 1.1, 0.0))
    found = of_divergence(results, np.random.default_rng(0))
    assert found.n == results.trials["state"].eq("completed").sum() < 40
