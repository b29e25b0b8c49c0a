"""Stability figures against closed forms, each derived in its comment."""

import math
import random

import numpy as np
import pytest

from study.metrics.stability import (
    aggregate,
    clamp_score,
    collapsed,
    cvar,
    dispersion,
    drawdown,
    iqr,
    learning_range,
    never_covered,
    never_learned,
    student_interval,
    worst,
)

# The score of a member


@pytest.mark.parametrize(
    ("value", "higher_is_better", "score"),
    [
        (1.0, False, 1.0),  # better than the price of 4: its own value
        (9.0, False, 4.0),  # worse: the price
        (4.0, False, 4.0),
        (9.0, True, 9.0),
        (1.0, True, 4.0),
        (None, False, 4.0),
        (None, True, 4.0),
        (math.nan, False, 4.0),
        (math.nan, True, 4.0),
        (math.inf, False, 4.0),
        (math.inf, True, 4.0),  # infinitely good is a fault too
        (-math.inf, False, 4.0),
        (-math.inf, True, 4.0),
    ],
)
def test_no_score_is_worse_than_the_price_of_divergence(
    value: float, higher_is_better: bool, score: float
) -> None:
    assert clamp_score(value, 4.0, higher_is_better) == score


# Across seeds


@pytest.mark.parametrize("n", [2, 3, 4, 5, 9])
def test_the_worst_seed_is_one_seed_whatever_their_number(n: int) -> None:
    assert worst(list(range(n)), higher_is_better=False) == n - 1
    assert worst(list(range(n)), higher_is_better=True) == 0


def test_cvar_is_the_mean_of_the_worst_quarter() -> None:
    scores = [5.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0]
    assert cvar(scores, higher_is_better=False) == 7.5  # (8 + 7) / 2
    assert cvar(scores, higher_is_better=True) == 1.5  # (1 + 2) / 2


@pytest.mark.parametrize(("n", "worst"), [(1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_cvar_takes_at_least_one_score_and_rounds_a_quarter_up(n: int, worst: int) -> None:
    # Of the scores 1..n the worst k are n-k+1..n, whose mean is n - (k-1)/2.
    assert cvar(list(range(1, n + 1)), higher_is_better=False) == n - (worst - 1) / 2


@pytest.mark.parametrize(
    ("how", "lower_is_better", "higher_is_better"),
    [("mean", 4.0, 4.0), ("median", 2.0, 2.0), ("cvar", 9.0, 1.0)],
)
def test_aggregates(how: str, lower_is_better: float, higher_is_better: float) -> None:
    scores = [9.0, 1.0, 2.0]
    assert aggregate(scores, how, False) == lower_is_better
    assert aggregate(scores, how, True) == higher_is_better


@pytest.mark.parametrize("how", ["mean", "median", "cvar"])
@pytest.mark.parametrize("higher_is_better", [False, True])
def test_an_aggregate_of_equal_scores_is_that_score(how: str, higher_is_better: bool) -> None:
    assert aggregate([0.25] * 3, how, higher_is_better) == 0.25


def test_iqr_interpolates_linearly() -> None:
    # Of 0..4 the quartiles are the order statistics 1 and 3; of 0..3 they lie at 0.75 and 2.25.
    assert iqr([4.0, 0.0, 3.0, 1.0, 2.0]) == 2.0
    assert iqr([3.0, 0.0, 2.0, 1.0]) == 1.5
    assert iqr([7.0]) == 0.0


# Across time


def test_a_straight_curve_has_no_dispersion() -> None:
    # Differences 2, 2, 2: detrended by differencing, nothing is left.
    assert dispersion([0.0, 2.0, 4.0, 6.0], scale=1.0) == 0.0


def test_dispersion_of_a_zigzag() -> None:
    # Differences 1, -1, 1, -1: quartiles -1 and 1, so an IQR of 2, over a range of 4.
    assert dispersion([0.0, 1.0, 0.0, 1.0, 0.0], scale=4.0) == 0.5


def test_dispersion_has_no_direction() -> None:
    rng = np.random.default_rng(0)
    curve = rng.normal(size=20)
    assert dispersion(curve.tolist(), 2.0) == pytest.approx(dispersion((-curve).tolist(), 2.0), rel=1e-12)


@pytest.mark.parametrize(
    ("curve", "lower_is_better", "higher_is_better"),
    [
        # Lower is better: best so far 3 1 1 0, so lost 0 0 1 0. Higher: best 3 3 3 3, lost 0 2 1 3.
        ([3.0, 1.0, 2.0, 0.0], 1.0, 3.0),
        ([4.0, 3.0, 2.0, 1.0], 0.0, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 3.0, 0.0),
        # The largest loss need not be the last, nor from the very best value.
        ([5.0, 1.0, 4.0, 0.0, 2.0], 3.0, 5.0),
        ([2.0, 2.0], 0.0, 0.0),
    ],
)
def test_drawdown_is_the_largest_loss_from_the_best_so_far(
    curve: list[float], lower_is_better: float, higher_is_better: float
) -> None:
    assert drawdown(curve, 1.0, higher_is_better=False) == lower_is_better
    assert drawdown(curve, 1.0, higher_is_better=True) == higher_is_better
    assert drawdown(curve, 8.0, higher_is_better=True) == higher_is_better / 8


def test_drawdown_of_a_curve_is_that_of_its_mirror_image_in_the_other_direction() -> None:
    rng = random.Random(0)
    for _ in range(20):
        curve = [rng.gauss(0, 1) for _ in range(10)]
        mirrored = [-value for value in curve]
        assert drawdown(curve, 1.0, True) == pytest.approx(drawdown(mirrored, 1.0, False), rel=1e-12)


@pytest.mark.parametrize("curve", [[], [1.0]])
def test_a_curve_of_fewer_than_two_points_has_no_figures(curve: list[float]) -> None:
    assert dispersion(curve, 1.0) is None
    assert drawdown(curve, 1.0, False) is None


@pytest.mark.parametrize("scale", [0.0, math.nan])
def test_an_empty_range_gives_no_figures(scale: float) -> None:
    assert dispersion([1.0, 2.0], scale) is None
    assert drawdown([1.0, 2.0], scale, False) is None


@pytest.mark.parametrize(
    ("untrained", "floor", "higher_is_better", "scale"),
    [
        (40.0, 1.0, False, 39.0),
        (0.2, 0.9, True, 0.7),
        (1.0, 40.0, False, 0.0),  # real data are no better than noise in this metric: nothing to learn
        (0.99, 0.98, True, 0.0),
        (None, 1.0, False, 0.0),
        (1.0, None, False, 0.0),
    ],
)
def test_the_range_is_from_the_untrained_value_to_the_floor(
    untrained: float, floor: float, higher_is_better: bool, scale: float
) -> None:
    assert learning_range(untrained, floor, higher_is_better) == pytest.approx(scale, rel=1e-12)


# What a run never did, and what it lost


@pytest.mark.parametrize(
    ("curve", "never"),
    [
        ([100.0, 90.1, 95.0], True),  # 9.9 of the 100 between the untrained 100 and a floor of 0
        ([100.0, 90.0, 150.0], False),  # a tenth of the way is enough, once
        ([100.0, 300.0], True),
        ([100.0], True),
    ],
)
def test_a_run_has_learned_that_once_got_a_tenth_of_the_way(curve: list[float], never: bool) -> None:
    assert never_learned(curve, 100.0, False) is never
    assert never_learned([-value for value in curve], 100.0, True) is never


def test_where_there_is_nothing_to_learn_nobody_has_failed_to() -> None:
    assert never_learned([1.0, 1.0], 0.0, False) is None
    assert never_learned([], 1.0, False) is None


@pytest.mark.parametrize(
    ("coverage", "real", "never", "lost"),
    [
        ([0.0, 0.2, 0.4], 1.0, True, False),  # what it never had it can't lose
        ([0.0, 0.5, 0.5], 1.0, False, False),
        ([0.0, 0.8, 0.4], 1.0, False, False),  # half of its best
        ([0.0, 0.8, 0.3], 1.0, False, True),
        ([0.0, 0.4, 0.1], 0.8, False, True),  # real data cover 0.8
        ([0.0, 0.8, 0.1, 0.7], 1.0, False, False),  # it came back
    ],
)
def test_a_collapse_is_the_loss_of_what_was_covered(
    coverage: list[float], real: float, never: bool, lost: bool
) -> None:
    assert never_covered(coverage, real) is never
    assert collapsed(coverage, real) is lost


def test_of_an_empty_curve_nothing_is_known() -> None:
    assert never_covered([], 1.0) is None
    assert collapsed([], 1.0) is None


# Student's interval


def test_students_interval_has_the_known_values() -> None:
    # Of 1, 2, 3: mean 2, standard error 1/sqrt(3), t(0.975, 2) = 4.30265 (tables).
    half = 4.302653 / math.sqrt(3)
    assert student_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - half, 2 + half), rel=1e-6)
    assert student_interval([4.0]) is None


@pytest.mark.parametrize("n", [2, 3, 5])
def test_students_interval_covers_the_mean_95_times_in_100(n: int) -> None:
    # 2,000 draws: three standard deviations of a share of 0.95 are 0.0146.
    stream = np.random.default_rng(n)
    covered = 0
    for _ in range(2000):
        low, high = student_interval(stream.normal(7.0, 2.0, n).tolist()) or (math.nan, math.nan)
        covered += low <= 7.0 <= high
    assert abs(covered / 2000 - 0.95) < 0.0146
