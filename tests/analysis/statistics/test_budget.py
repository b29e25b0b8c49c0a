"""Best against budget, rank correlations, and where the seconds went."""

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from analysis.statistics import budget
from tests.analysis.synthetic import made

SCORES = [[0.8, 0.9], [0.5, 0.7], [0.3, 0.1], [0.6, 0.4], [0.2, 0.2]]  # means 0.85, 0.6, 0.2, 0.5, 0.2


def test_the_expected_best_of_k_is_the_mean_over_all_choices() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 7.0])
    found = budget.expected_best(values, np.arange(1, 6))
    assert found == pytest.approx([np.mean([min(c) for c in combinations(values, k)]) for k in range(1, 6)])


def test_of_ten_thousand_trials_nothing_overflows() -> None:
    found = budget.expected_best(np.arange(10000.0), np.array([1, 99, 10000]))
    assert found == pytest.approx([4999.5, 99.01, 0.0], abs=1e-6)  # of 0..n-1 it is (n - k) / (k + 1)


def test_a_map_has_the_expected_best_of_what_was_drawn() -> None:
    found = budget.best_against_budget(made(SCORES), np.random.default_rng(0))
    # The default, 0.85, was drawn by nobody. Of 0.6, 0.2, 0.5, 0.2 the best of all is 0.2.
    assert found["trials"].tolist() == [1, 2, 3, 4]
    assert found["best"].iloc[[0, -1]].tolist() == pytest.approx([1.5 / 4, 0.2])
    assert found["kimg"].tolist() == [3, 6, 9, 12]
    assert found["seconds"].tolist() == [14, 28, 42, 56]  # 12 of training, 4 evaluations of half a second


def test_its_interval_holds_the_estimate_and_ends_at_a_quarter_of_the_trials() -> None:
    found = budget.best_of(np.random.default_rng(1).normal(size=40), np.random.default_rng(0))
    known = found[found["trials"] <= 10]
    assert (known["low"] <= known["best"]).all()
    assert (known["best"] <= known["high"]).all()
    assert found[found["trials"] > 10][["low", "high"]].isna().all(axis=None)


def test_the_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    """Of the best of 5, from studies of 40 trials: of 5 normal values the lowest is -1.163 on average."""
    covered, random = 0, np.random.default_rng(0)
    for _ in range(100):
        found = budget.best_of(random.normal(size=40), random)
        row = found[found["trials"] == 5].iloc[0]
        covered += row["low"] <= -1.16296 <= row["high"]
    assert 87 <= covered <= 100


@pytest.mark.parametrize("how", [{"samplers": "tpe"}, {"schedulers": "asha"}])
def test_where_trials_depend_on_each_other_the_incumbent_is_told_as_it_ran(how: dict[str, Any]) -> None:
    state = ["completed", "pruned", "completed", "completed", "pruned"]
    found = budget.best_against_budget(made(SCORES, state=state, **how), np.random.default_rng(0))
    assert found["best"].tolist() == pytest.approx([0.85, 0.85, 0.2, 0.2, 0.2])
    assert found["kimg"].tolist() == [3, 4, 7, 10, 11]
    assert found["low"].isna().all()


def test_where_higher_is_better_the_best_is_the_highest() -> None:
    found = budget.best_against_budget(made(SCORES, metric="hq"), np.random.default_rng(0))
    assert found["best"].iloc[[0, -1]].tolist() == pytest.approx([1.5 / 4, 0.6])
    assert found["low"].iloc[0] < found["high"].iloc[0]
    first = budget.best_against_budget(made(SCORES, metric="hq", samplers="tpe"), np.random.default_rng(0))
    assert first["best"].tolist() == pytest.approx([0.85] * 5)


def test_the_top_tenth_is_of_completed_trials() -> None:
    many = made(np.arange(60)[:, None] / 100 + np.zeros((60, 2)))
    assert budget.top_tenth(many)["trial_id"].tolist() == [f"a-{number:05d}" for number in range(6)]


def test_the_interval_of_a_rank_correlation_is_bonett_and_wrights() -> None:
    # z = atanh(0.5) = 0.549306; se = sqrt((1 + 0.125) / 17) = 0.257248.
    low, high = budget.rank_interval(0.5, 20)
    assert math.atanh(low) == pytest.approx(0.549306 - 1.959964 * 0.257248, abs=1e-5)
    assert math.atanh(high) == pytest.approx(0.549306 + 1.959964 * 0.257248, abs=1e-5)


def test_a_perfect_correlation_of_few_has_an_interval_too() -> None:
    low, high = budget.rank_interval(1.0, 5)
    assert -1 < low < 0.9 < high < 1


def test_rungs_are_correlated_with_the_full_budget() -> None:
    random = np.random.default_rng(0)
    scores = random.random((8, 2, 4))
    found = budget.rung_correlations(made(scores, schedulers="asha"))
    means = scores.mean(1)
    assert [point.kimg for point in found] == [1, 2]
    expected = [spearmanr(means[:, k], means[:, 3]).statistic for k in (1, 2)]
    assert [point.rho for point in found] == pytest.approx(expected)
    assert [(point.n, point.is_rung) for point in found] == [(8, True), (8, False)]


def test_only_who_is_known_at_the_full_budget_counts() -> None:
    state = ["completed"] * 4 + ["pruned"] * 4
    found = budget.rung_correlations(made(np.random.default_rng(0).random((8, 2, 4)), state=state))
    assert [point.n for point in found] == [4, 4]
    assert budget.rung_correlations(made(SCORES[:3])) == []
    assert budget.rung_correlations(made([[0.5, 0.5]] * 6)) == []  # all are alike


def test_a_trial_that_diverged_keeps_its_objective() -> None:
    gone = [1.0, math.nan, math.nan]
    results = made([[[1.0, 0.5, 0.4]] * 2, [gone] * 2], state=["completed", "diverged"])
    curves = results.curves
    ended = curves[(curves["trial_id"] == "a-00000") | (curves["evaluation"] < 2)]
    results = replace(results, curves=ended)
    assert [results.objectives(kimg)["a-00001"] for kimg in (1.0, 2.0)] == [1.0, 1.0]


def test_objectives_are_aggregated_as_the_study_does() -> None:
    scores = [[0.1, 0.2, 0.9, 0.4, 0.6]]
    for how, expected in (("mean", 0.44), ("median", 0.4), ("cvar", 0.75)):  # of 5 the worst 2
        assert made(scores, aggregate=how).objectives(3.0).tolist() == pytest.approx([expected]), how


def test_seconds_are_summed_by_how_trials_ended() -> None:
    found = budget.seconds_by_state(made(SCORES, state=["completed"] * 3 + ["pruned"] * 2))
    expected = pd.DataFrame(
        {
            "state": ["completed", "pruned"],
            "trials": [3.0, 2.0],
            "train": [36.0, 8.0],
            "evaluate": [6.0, 2.0],
        }
    )
    pd.testing.assert_frame_equal(found.astype({"state": object}), expected.astype({"state": object}))
