"""How often runs diverge, of which many were stopped early: closed forms, and planted truths."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from study.metrics.failure import (
    CENSORED,
    DIVERGED,
    SURVIVED,
    Failure,
    end_of_run,
    failure_interval,
    failure_rate,
    failure_within,
    wilson_interval,
)

Run = dict[str, Any]


def run(trial: int, end: str, kimg: float) -> Run:
    return {"trial_id": trial, "end": end, "kimg_at_risk": kimg}


def within(kimg: float, runs: list[Run], resamples: int = 200) -> Failure:
    return failure_within(kimg, runs, np.random.default_rng(0), resamples)


# One trial


@pytest.mark.parametrize("state", ["completed", "pruned", "interrupted", "failed", "diverged"])
def test_only_what_was_trained_to_its_budget_has_survived(state: str) -> None:
    assert end_of_run(True, state) == DIVERGED
    assert end_of_run(False, state) == (SURVIVED if state == "completed" else CENSORED)


def test_a_trial_that_was_stopped_early_has_no_failure_rate() -> None:
    assert failure_rate([DIVERGED, CENSORED]) is None
    assert failure_interval([DIVERGED, CENSORED]) is None
    assert failure_rate([DIVERGED, SURVIVED, SURVIVED, SURVIVED]) == 0.25
    assert failure_interval([DIVERGED, SURVIVED, SURVIVED, SURVIVED]) == wilson_interval(1, 4)
    assert failure_rate([DIVERGED, DIVERGED]) == 1.0


# Several configurations


def test_without_censoring_the_estimate_is_the_share_that_diverged() -> None:
    runs = [run(k, DIVERGED if k < 3 else SURVIVED, 5.0 if k < 3 else 30.0) for k in range(12)]
    found = within(30.0, runs)
    assert found.rate == pytest.approx(0.25, rel=1e-12)
    assert (found.configurations, found.runs, found.diverged, found.censored) == (12, 12, 3, 0)
    assert within(4.9, runs).rate == 0.0  # none had diverged by then


def test_a_censored_run_counts_while_it_was_at_risk() -> None:
    # Kaplan and Meier by hand: of 4 at risk one diverges at 10 (3/4 go on); one is stopped at 15, so of
    # the 2 at risk at 20 one diverges (1/2 go on): S = 3/8. Taken for survivors it would be 1/2.
    runs = [run(0, DIVERGED, 10.0), run(1, CENSORED, 15.0), run(2, DIVERGED, 20.0), run(3, SURVIVED, 30.0)]
    assert within(30.0, runs).rate == pytest.approx(1 - 3 / 8, rel=1e-12)
    assert within(15.0, runs).rate == pytest.approx(1 / 4, rel=1e-12)


def by_hand(runs: list[Run], kimg: float) -> float:
    """The product over the moments of divergence of (1 - diverged / at risk)."""
    survival = 1.0
    for moment in sorted({r["kimg_at_risk"] for r in runs if r["end"] == DIVERGED}):
        if moment <= kimg:
            at_risk = sum(r["kimg_at_risk"] >= moment for r in runs)
            diverged = sum(r["kimg_at_risk"] == moment and r["end"] == DIVERGED for r in runs)
            survival *= 1 - diverged / at_risk
    return 1 - survival


def test_the_estimate_is_the_product_of_kaplan_and_meier() -> None:
    stream = np.random.default_rng(1)
    for _ in range(20):
        runs = [
            run(k, str(stream.choice([DIVERGED, CENSORED])), float(stream.integers(1, 9))) for k in range(15)
        ] + [run(15, SURVIVED, 9.0), run(16, DIVERGED, 4.0)]
        for kimg in (4.0, 6.5, 9.0):
            assert within(kimg, runs, 2).rate == pytest.approx(by_hand(runs, kimg), abs=1e-12)


def test_the_interval_is_that_of_configurations_drawn_again() -> None:
    """By hand: draw configurations with replacement, estimate, take percentiles; 2,000 draws on each side."""
    stream = np.random.default_rng(5)
    groups = [
        [run(k, str(stream.choice(ends)), float(stream.integers(1, 9))) for _ in range(2)]
        for k, ends in enumerate([[DIVERGED, CENSORED], [CENSORED, CENSORED], [DIVERGED, DIVERGED]] * 4)
    ]
    found = within(6.0, [r for group in groups for r in group], 2000)
    rates = []
    for _ in range(2000):
        drawn = [groups[k] for k in stream.integers(len(groups), size=len(groups))]
        rates.append(by_hand([r for group in drawn for r in group], 6.0))
    low, high = np.quantile(rates, [0.025, 0.975])
    assert abs(low - (found.low or 0)) < 0.03
    assert abs(high - (found.high or 0)) < 0.03


def test_where_none_diverged_wilsons_interval_counts_configurations_at_risk() -> None:
    # Two seeds each; two of the five configurations were stopped at 10.
    runs = [run(k, CENSORED if k < 2 else SURVIVED, 10.0 if k < 2 else 30.0) for k in (0, 1, 2, 3, 4) * 2]
    at_the_end, early = within(30.0, runs), within(10.0, runs)
    assert (at_the_end.rate, at_the_end.low, at_the_end.high) == (0.0, *wilson_interval(0, 3))
    assert (early.rate, early.low, early.high) == (0.0, *wilson_interval(0, 5))
    assert at_the_end.method == "wilson"
    assert (at_the_end.informed, at_the_end.configurations) == (3, 5)
    assert (at_the_end.censored, early.censored) == (4, 0)


def test_where_all_diverged_likewise() -> None:
    found = within(30.0, [run(k, DIVERGED, 3.0) for k in (0, 1, 2) * 2])
    assert (found.rate, found.low, found.high) == (1.0, *wilson_interval(3, 3))


def test_nothing_is_said_of_a_time_that_nobody_was_observed_for() -> None:
    found = within(30.0, [run(k, CENSORED, 10.0) for k in range(4)])
    assert (found.rate, found.low, found.high) == (None, None, None)
    assert within(30.0, []).rate is None


def test_what_comes_after_the_last_run_that_was_watched_is_not_known() -> None:
    runs = [run(0, DIVERGED, 3.0), *(run(k, CENSORED, 10.0) for k in range(1, 14))]
    assert within(30.0, runs).rate is None
    assert within(10.0, runs).rate == pytest.approx(1 / 14, rel=1e-12)


def test_where_configurations_are_alike_resampling_is_not_taken_for_certainty() -> None:
    # Of each configuration one of two seeds diverges: whichever are drawn, it is half of them.
    for n in (1, 14):
        runs = [run(k, end, 30.0) for k in range(n) for end in (DIVERGED, SURVIVED)]
        found = within(30.0, runs)
        assert (found.rate, found.method) == (0.5, "wilson")
        assert (found.low, found.high) == wilson_interval(n / 2, n)


def test_seeds_that_share_a_fate_do_not_narrow_the_interval() -> None:
    # Eight configurations, two of which diverge with all their seeds: with 1 or 20 seeds the same is known.
    def found(seeds: int) -> Failure:
        return within(
            30.0,
            [run(k, DIVERGED if k < 2 else SURVIVED, 9.0 if k < 2 else 30.0) for k in range(8)] * seeds,
        )

    assert (found(1).low, found(1).high) == (found(20).low, found(20).high)


# Planted truths


def survival_table(stream: np.random.Generator, stop: Callable[[bool], float]) -> list[Run]:
    """40 configurations of 3 seeds: a region of 3 in 10 diverges at half of a budget of 30, 9 times in 10."""
    runs = []
    for trial in range(40):
        hazard = bool(stream.random() < 0.3)
        ended = stop(hazard)
        for _ in range(3):
            diverges = stream.normal(15.0, 0.5) if hazard and stream.random() < 0.9 else math.inf
            end = DIVERGED if diverges <= ended else SURVIVED if ended == 30 else CENSORED
            runs.append(run(trial, end, min(diverges, ended)))
    return runs


def test_the_interval_covers_a_planted_rate_where_stopping_is_independent() -> None:
    stream = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        runs = survival_table(stream, lambda _: float(stream.choice([10.0, 20.0, 30.0], p=[0.4, 0.3, 0.3])))
        found = failure_within(30.0, runs, stream, 100)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.27 <= found.high
    assert covered >= 170


def halved_table(stream: np.random.Generator, worse: float) -> list[Run]:
    """64 configurations of 3 seeds under successive halving at 1/9 and 1/3 of a budget of 30.

    In a region of 3 in 10 every run diverges, at any time; its loss is by `worse` standard deviations worse.
    """
    hazard = stream.random(64) < 0.3
    loss = stream.normal(size=64) + worse * hazard
    stop, alive = np.full(64, 30.0), np.argsort(loss)
    for rung in (30 / 9, 10.0):
        keep = len(alive) // 3
        stop[alive[keep:]], alive = rung, alive[:keep]
    runs = []
    for trial in range(64):
        for _ in range(3):
            diverges = stream.uniform(2, 30) if hazard[trial] else math.inf
            end = DIVERGED if diverges <= stop[trial] else SURVIVED if stop[trial] == 30 else CENSORED
            runs.append(run(trial, end, min(diverges, stop[trial])))
    return runs


@pytest.mark.parametrize(
    ("worse", "low", "high"),
    [(0, 0.25, 0.39), (1, 0.03, 0.13), (2, 0.0, 0.07), (-1, 0.58, 0.72), (-2, 0.75, 0.9)],
)
def test_early_stopping_that_depends_on_the_hazard_misleads_it(worse: float, low: float, high: float) -> None:
    """The figures in the module's docstring, of a planted 0.3."""
    stream = np.random.default_rng(3)
    rates = [failure_within(30.0, halved_table(stream, worse), stream, 2).rate for _ in range(100)]
    assert low < np.mean([rate for rate in rates if rate is not None]) < high


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
