"""Intervals of paired differences, their power, and how many seeds it takes."""

import math

import numpy as np
import pytest
from scipy.stats import nct, t, ttest_rel

from analysis.statistics.moderated import Prior
from analysis.statistics.seeds import detectable, difference, power, seeds_needed
from tests.benchmarks.seeds import CANDIDATES, EQUAL, MIXED, claims, distances, studies


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    one, other = np.array([1.0, 2.0, 4.0]), np.array([2.0, 5.0, 5.0])
    found = difference((other - one).tolist())
    expected = ttest_rel(other, one).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert (found.mean, found.sd, found.n) == pytest.approx((5 / 3, math.sqrt(4 / 3), 3))


def test_a_choice_among_several_is_corrected_for_all() -> None:
    gains = [1.0, 3.0, 1.0]
    expected = ttest_rel(gains, [0.0, 0.0, 0.0]).confidence_interval(1 - 0.05 / 7)
    found = difference(gains, comparisons=7)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert "corrected for 7 comparisons" in found.words


def test_one_seed_shows_nothing() -> None:
    found = difference([5.0])
    assert (found.low, found.high, found.sd, found.is_shown) == (None, None, None, False)
    assert found.words == "no interval, n = 1 seed"


def test_pairs_that_are_all_alike_are_no_certainty() -> None:
    found = difference([2.0, 2.0, 2.0])
    assert (found.mean, found.sd, found.low, found.is_shown) == (2.0, 0.0, None, False)


@pytest.mark.parametrize(
    ("gains", "shown"), [([2.0, 2.1, 2.2], True), ([-2.0, -2.1, -2.2], True), ([-1, 1], False)]
)
def test_a_difference_is_shown_where_the_interval_leaves_out_zero(gains: list[float], shown: bool) -> None:
    assert difference(gains).is_shown is shown


def test_without_a_difference_the_power_is_the_level_of_one_side() -> None:
    assert power(0.0, 1.0, 5) == pytest.approx(0.025, abs=1e-6)
    assert power(0.0, 1.0, 5, comparisons=10) == pytest.approx(0.0025, abs=1e-6)


@pytest.mark.parametrize(("effect", "n"), [(1.0, 2), (2.0, 3), (1.0, 9)])
def test_the_power_of_a_difference_alone_is_that_of_the_noncentral_t(effect: float, n: int) -> None:
    expected = nct.sf(t.ppf(0.975, n - 1), n - 1, effect * math.sqrt(n))
    assert power(effect, 1.0, n) == pytest.approx(expected, abs=1e-5)


def test_a_moderated_interval_has_the_spread_and_the_freedom_of_many() -> None:
    # Own variance 2 with 1 degree of freedom, prior 5 with 3: (3 x 5 + 2) / 4, 4 degrees of freedom.
    found = difference([1.0, 3.0], prior=Prior(3.0, 5.0, 9))
    half = t.ppf(0.975, 4) * math.sqrt(17 / 4 / 2)
    assert (found.low, found.high) == pytest.approx((2 - half, 2 + half), rel=1e-9)


def test_pairs_that_are_all_alike_have_the_spread_of_others() -> None:
    assert difference([2.0, 2.0], prior=EQUAL).sd == 1.0


def test_logarithms_are_told_as_shares() -> None:
    found = difference([math.log(4), math.log(4)], prior=Prior(math.inf, 1e-4, 9), relative=True)
    assert found.said == "75.0% lower"
    half = t.ppf(0.975, 9) * 0.01 / math.sqrt(2)
    low, high = (100 * (1 - math.exp(-math.log(4) - side * half)) for side in (-1, 1))
    assert f"95% interval {low:.1f}% to {high:.1f}%" in found.words
    assert difference([-math.log(1.5)], relative=True).said == "50.0% higher"


def test_the_power_is_the_share_of_planted_studies_with_a_claim() -> None:
    # One seed-SD, seeds correlated 0.5: paired differences have a standard deviation of 1.
    random = np.random.default_rng(0)
    gains = random.normal(1.0, 1.0, (2000, 5))
    shown = np.mean([(found := difference(row.tolist())).is_shown and found.mean > 0 for row in gains])
    assert shown == pytest.approx(power(1.0, 1.0, 5), abs=0.04)  # 4 standard errors


@pytest.mark.parametrize("n", [1, 0])
def test_no_pair_has_no_power(n: int) -> None:
    assert power(5.0, 1.0, n) == 0.0


def test_seeds_that_agree_to_the_last_bit_show_any_difference() -> None:
    assert power(1e-9, 0.0, 2) == 1.0
    assert power(0.0, 0.0, 2) == 0.0


@pytest.mark.parametrize(("effect", "comparisons"), [(3.0, 1), (1.0, 1), (2.0, 12), (0.3, 5)])
def test_so_many_seeds_have_the_power_and_one_less_has_not(effect: float, comparisons: int) -> None:
    needed = seeds_needed(effect, 1.0, comparisons)
    assert needed is not None
    assert power(effect, 1.0, needed, comparisons) >= 0.8 > power(effect, 1.0, needed - 1, comparisons)


def test_where_no_number_of_seeds_is_worth_naming_none_is() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(0.01, 1.0) is None


def test_seeds_that_agree_detect_anything() -> None:
    assert detectable(0.0, 5) == 0.0


def test_what_seeds_can_detect_has_the_power() -> None:
    assert power(detectable(2.0, 5, 3), 2.0, 5, 3) == pytest.approx(0.8, abs=0.002)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("mixed", [0.0, MIXED])
def test_without_a_difference_few_studies_claim_one(seeds: int, mixed: float) -> None:
    """At most 10 of 100; 2 to 5 of 100 over 2,000 (tests/benchmarks/README.md)."""
    scores = studies(np.random.default_rng(1), 200, CANDIDATES + 1, seeds, mixed=mixed)
    assert claims(scores) <= 20


def test_two_seeds_show_what_is_obvious() -> None:
    """A tenth of the default's distance, seeds within 15%."""
    assert claims(distances(np.random.default_rng(1), 100, CANDIDATES + 1, 2, (0.1, 3.0), first=0.1)) >= 90


def test_the_best_of_many_claims_a_true_difference_as_often_as_promised() -> None:
    n = 300
    found = claims(studies(np.random.default_rng(1), n, CANDIDATES + 1, 5, effect=3.0)) / n
    promised = power(3.0, 1.0, 5, CANDIDATES, EQUAL)
    assert found == pytest.approx(promised, abs=4 * math.sqrt(promised * (1 - promised) / n))
