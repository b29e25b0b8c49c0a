"""Variances that inform each other, against limma's formulas done by hand."""

import math

import numpy as np
import pytest
from scipy.special import digamma, polygamma

from analysis.statistics.moderated import ALONE, Prior, prior, trigamma_inverse

FOURFOLD = [1.0, 4.0, 16.0, 64.0, 256.0]  # logs ln 4 apart: mean ln 16, variance 2.5 (ln 4)^2


def test_the_prior_has_the_moments_of_log_variances() -> None:
    found = prior(FOURFOLD, own=2)
    # Smyth 2004: trigamma(d0 / 2) = var(log s^2) - trigamma(d / 2), where d / 2 = 1: pi^2 / 6;
    # log s0^2 = mean(log s^2) - digamma(1) + log(1) + digamma(d0 / 2) - log(d0 / 2).
    excess = 2.5 * math.log(4) ** 2 - math.pi**2 / 6
    assert polygamma(1, found.df / 2) == pytest.approx(excess, rel=1e-9)
    shift = 0.5772156649015329 + digamma(found.df / 2) - math.log(found.df / 2)
    assert math.log(found.variance) == pytest.approx(math.log(16) + shift, rel=1e-9)
    assert found.members == 5


def test_planted_degrees_of_freedom_are_found_again() -> None:
    random = np.random.default_rng(0)
    true = 3.0 / (random.chisquare(6, 20_000) / 6)  # scaled inverse chi-square: d0 = 6, s0^2 = 3
    found = prior((true * random.chisquare(4, 20_000) / 4).tolist(), own=4)
    assert (found.df, found.variance) == pytest.approx((6, 3), rel=0.05)


def test_variances_that_differ_by_no_more_than_chance_are_one() -> None:
    # var(log s^2) = 2.5 (ln 2)^2 = 1.20 < trigamma(1) = 1.64
    assert prior([1.0, 2.0, 4.0, 8.0, 16.0], own=2) == Prior(math.inf, 6.2, 5)


@pytest.mark.parametrize("variances", [[1.0, 4.0, 16.0], [1.0, 4.0, 16.0, 0.0]])
def test_few_variances_have_nothing_to_tell(variances: list[float]) -> None:
    assert prior(variances, own=1) == ALONE


def test_a_moderated_variance_is_the_weighted_mean() -> None:
    # (d0 s0^2 + d s^2) / (d0 + d) = (3 x 4 + 1 x 2) / 4
    assert Prior(3.0, 4.0, 9).moderate(np.array(2.0), own=1) == pytest.approx(3.5)


def test_others_never_narrow_a_spread() -> None:
    assert Prior(math.inf, 4.0, 9).moderate(np.array([2.0, 5.0]), own=1).tolist() == [4.0, 5.0]


def test_alone_a_variance_is_its_own() -> None:
    assert ALONE.moderate(np.array(2.0), own=3) == 2.0
    assert ALONE.df_with(3) == 3


@pytest.mark.parametrize(("df", "expected"), [(2.5, 3.5), (math.inf, 8), (20.0, 8)])
def test_no_more_degrees_of_freedom_than_all_have(df: float, expected: float) -> None:
    assert Prior(df, 1.0, 8).df_with(1) == expected


@pytest.mark.parametrize("value", [1e-4, 0.3, math.pi**2 / 6, 50.0])
def test_the_inverse_of_trigamma(value: float) -> None:
    assert polygamma(1, trigamma_inverse(value)) == pytest.approx(value, rel=1e-9)
