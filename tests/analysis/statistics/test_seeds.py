"""Intervals of paired differences, their power, and how many seeds it takes."""

import math

import numpy as np
import pytest
from scipy.stats import nct, t, ttest_rel

from analysis.statistics.moderated import ALONE, Prior
from analysis.statistics.seeds import Spread, detectable, difference, power, seeds_needed
from analysis.statistics.tuned import best_gain
from tests.benchmarks.seeds import CANDIDATES, EQUAL, MIXED, claims, distances, gain_of_best, studies

ONE = Spread(1.0)


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    one, other = np.array([1.0, 2.0, 4.0]), np.array([2.0, 5.0, 5.0])
    found = difference((other - one).tolist())
    expected = ttest_rel(other, one).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.spread is not None
    assert (found.mean, found.spread.sd, found.n) == pytest.approx((5 / 3, math.sqrt(4 / 3), 3))


def test_a_choice_among_several_is_corrected_for_all() -> None:
    gains = [1.0, 3.0, 1.0]
    expected = ttest_rel(gains, [0.0, 0.0, 0.0]).confidence_interval(1 - 0.05 / 7)
    found = difference(gains, comparisons=7)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert "corrected for 7 comparisons" in found.words


def test_one_seed_shows_nothing() -> None:
    found = difference([5.0])
    assert (found.low, found.high, found.spread, found.is_shown) == (None, None, None, False)
    assert found.words == "no interval, n = 1 seed"


def test_pairs_that_are_all_alike_are_no_certainty() -> None:
    found = difference([2.0, 2.0, 2.0])
    assert (found.mean, found.spread, found.low, found.is_shown) == (2.0, Spread(0.0), None, False)


@pytest.mark.parametrize(
    ("gains", "shown"), [([2.0, 2.1, 2.2], True), ([-2.0, -2.1, -2.2], True), ([-1, 1], False)]
)
def test_a_difference_is_shown_where_the_interval_leaves_out_zero(gains: list[float], shown: bool) -> None:
    assert difference(gains).is_shown is shown


def test_without_a_difference_the_power_is_the_level_of_one_side() -> None:
    assert power(0.0, ONE, 5) == pytest.approx(0.025, abs=1e-6)
    assert power(0.0, ONE, 5, comparisons=10) == pytest.approx(0.0025, abs=1e-6)


@pytest.mark.parametrize(("effect", "n"), [(1.0, 2), (2.0, 3), (1.0, 9)])
def test_the_power_of_a_difference_alone_is_that_of_the_noncentral_t(effect: float, n: int) -> None:
    expected = nct.sf(t.ppf(0.975, n - 1), n - 1, effect * math.sqrt(n))
    assert power(effect, ONE, n) == pytest.approx(expected, abs=1e-5)


def test_parts_of_a_spread_have_degrees_of_freedom_of_their_own() -> None:
    """Welch and Satterthwaite: of 3 pairs, a part known by 4 degrees of freedom, the other by 2."""
    spread = Spread(2.0, Prior(2.0, 1.0, 9), shared=1.0)
    assert spread.df(3) == pytest.approx(3.0**2 / (2.0**2 / 4 + 1.0**2 / 2))
    found = difference([1.0, 3.0, 5.0], spread=spread)
    half = t.ppf(0.975, spread.df(3))
    assert (found.low, found.high) == pytest.approx((3 - half, 3 + half), rel=1e-9)


def test_one_part_alone_is_students_t() -> None:
    assert [Spread(2.0).df(n) for n in (2, 3, 7)] == pytest.approx([1, 2, 6])


def test_the_best_has_the_spread_of_many_and_the_default_its_own() -> None:
    """Five trials of two seeds, around what a seed does to all: 0 and 4."""
    seeds, own = np.array([0.0, 4.0]), np.array([1.0, 3.0, 2.0, 4.0, 5.0])
    trials = seeds + np.outer(own, [1.0, -1.0])
    default = np.array([10.0, 16.0])
    found = best_gain(default, trials, candidates=5)
    # The mean of the trials: 3, 1. Around it: 1 - 3 = -2 and 3 - 1 = 2, 0, -1, 1, 2 and their opposites.
    common = trials.mean(axis=0)
    variances = 2 * (own - own.mean()) ** 2 * 5 / 4
    assert found.spread is not None
    assert found.spread.shared == pytest.approx(np.var(default - common, ddof=1))
    assert found.spread.prior.members == 4  # one is the mean itself
    moderated = found.spread.prior.moderate(variances[:1], 1)
    assert found.spread.variance == pytest.approx(float(moderated[0]))
    assert found.mean == pytest.approx(np.mean(default - trials[0]))


@pytest.mark.parametrize("trials", [1, 3])
def test_few_trials_tell_nothing_of_each_other(trials: int) -> None:
    ours = np.random.default_rng(0).normal(size=(trials, 3))
    found = best_gain(np.array([3.0, 4.0, 6.0]), ours, candidates=trials)
    assert found == difference((np.array([3.0, 4.0, 6.0]) - ours[0]).tolist(), trials)
    assert found.spread is not None
    assert found.spread.prior == ALONE


def test_gains_are_told_in_their_direction() -> None:
    def told(*gains: float, relative: bool = False) -> tuple[str, str]:
        found = difference(gains, relative=relative)
        return found.said, found.words.split(", ")[0]

    assert told(1.0, 3.0, 2.0) == ("2.00 better", "95% interval 0.484 worse to 4.48 better")
    assert told(2.0, 2.1, 2.2) == ("2.10 better", "95% interval 1.85 to 2.35 better")
    assert told(-2.0, -2.1, -2.2) == ("2.10 worse", "95% interval 1.85 to 2.35 worse")
    assert told(-1.1, -1.0, -1.2, relative=True) == ("200% higher", "95% interval 134% to 285% higher")
    assert difference([-math.log(1.5)], relative=True).said == "50.0% higher"
    assert difference([math.log(4)] * 2, relative=True).said == "75.0% lower"


def test_the_power_is_the_share_of_planted_studies_with_a_claim() -> None:
    # One seed-SD, seeds correlated 0.5: paired differences have a standard deviation of 1.
    random = np.random.default_rng(0)
    gains = random.normal(1.0, 1.0, (2000, 5))
    shown = np.mean([(found := difference(row.tolist())).is_shown and found.mean > 0 for row in gains])
    assert shown == pytest.approx(power(1.0, ONE, 5), abs=0.04)  # 4 standard errors


@pytest.mark.parametrize("n", [1, 0])
def test_no_pair_has_no_power(n: int) -> None:
    assert power(5.0, ONE, n) == 0.0


def test_seeds_that_agree_to_the_last_bit_show_any_difference() -> None:
    assert power(1e-9, Spread(0.0), 2) == 1.0
    assert power(0.0, Spread(0.0), 2) == 0.0


@pytest.mark.parametrize(("effect", "comparisons"), [(3.0, 1), (1.0, 1), (2.0, 12), (0.3, 5)])
def test_so_many_seeds_have_the_power_and_one_less_has_not(effect: float, comparisons: int) -> None:
    needed = seeds_needed(effect, ONE, comparisons)
    assert needed is not None
    assert power(effect, ONE, needed, comparisons) >= 0.8 > power(effect, ONE, needed - 1, comparisons)


def test_where_no_number_of_seeds_is_worth_naming_none_is() -> None:
    assert seeds_needed(0.0, ONE) is None
    assert seeds_needed(0.01, ONE) is None


def test_seeds_that_agree_detect_anything() -> None:
    assert detectable(Spread(0.0), 5) == 0.0


def test_what_seeds_can_detect_has_the_power() -> None:
    assert power(detectable(Spread(4.0), 5, 3), Spread(4.0), 5, 3) == pytest.approx(0.8, abs=0.002)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("times", [1, 4, 10])
def test_the_interval_covers_whatever_the_defaults_spread(seeds: int, times: float) -> None:
    """95% of 1,000 studies or more, less 3 standard errors (tests/benchmarks/README.md)."""
    scores = studies(np.random.default_rng(2), 1000, CANDIDATES + 1, seeds)
    scores[:, 0] *= times
    found = [gain for study in scores if (gain := gain_of_best(study)) is not None]
    covers = [gain.low is not None and gain.high is not None and gain.low <= 0 <= gain.high for gain in found]
    assert np.mean(covers) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / len(found))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("mixed", [0.0, MIXED])
def test_without_a_difference_few_studies_claim_one(seeds: int, mixed: float) -> None:
    """At most 10 of 100; 2 to 5 of 100 over 2,000 (tests/benchmarks/README.md)."""
    scores = studies(np.random.default_rng(1), 200, CANDIDATES + 1, seeds, mixed=mixed)
    assert claims(scores) <= 20


def test_two_seeds_show_what_is_obvious() -> None:
    """A tenth of the default's distance, seeds within 15%: 8 of 10 studies (tests/benchmarks/README.md)."""
    assert claims(distances(np.random.default_rng(1), 100, CANDIDATES + 1, 2, (0.1, 3.0), first=0.1)) >= 70


def test_the_best_of_many_claims_a_true_difference_as_often_as_promised() -> None:
    n = 300
    found = claims(studies(np.random.default_rng(1), n, CANDIDATES + 1, 5, effect=3.0)) / n
    promised = power(3.0, EQUAL, 5, CANDIDATES)
    assert found == pytest.approx(promised, abs=4 * math.sqrt(promised * (1 - promised) / n))
