"""Stability figures against closed forms, each derived in its comment."""

import math
import random

import numpy as np
import pytest

from study.metrics.stability import (
    aggregate,
    clamp_score,
    cvar,
    dispersion,
    drawdown,
    iqr,
    wilson_interval,
)

# The score of a member


@pytest.mark.parametrize(
    ("value", "higher_is_better", "score"),
    [
        (1.0, False, 1.0),  # better than the untrained 4: its own value
        (9.0, False, 4.0),  # worse: the ceiling
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
def test_no_score_is_worse_than_the_ceiling(value: float, higher_is_better: bool, score: float) -> None:
    assert clamp_score(value, 4.0, higher_is_better) == score


# Across seeds


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


# Rates


@pytest.mark.parametrize(
    ("failures", "n", "low", "high"),
    [
        # No failures: the upper end is z^2 / (n + z^2) = 3.8415 / 13.8415.
        (0, 10, 0.0, 0.27753),
        (10, 10, 0.72247, 1.0),
        # Newcombe 1998, table I, method 3 (score without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (5, 10, 0.23659, 0.76341),
    ],
)
def test_wilsons_interval_has_the_known_values(failures: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(failures, n) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_wilsons_bounds_solve_the_score_equation(n: int) -> None:
    # The bounds are the two rates p with (p - failures/n)^2 = z^2 p (1 - p) / n.
    z = 1.959964
    for failures in range(n + 1):
        low, high = wilson_interval(failures, n)
        assert 0 <= low <= failures / n <= high <= 1
        for p in (low, high):
            assert (p - failures / n) ** 2 == pytest.approx(z * z * p * (1 - p) / n, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("failures", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_what_is_no_rate_is_refused(failures: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{failures} failures of {n} is not a rate"):
        wilson_interval(failures, n)
