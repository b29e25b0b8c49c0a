"""Mode coverage in numbers: whose it is, what a divergence does to it, and its intervals, in closed form."""

import math

import pytest

from analysis.statistics.coverage import (
    all_covered,
    by_trial,
    counts_of,
    extreme_seeds,
    has_modes,
    in_bins,
    mean_interval,
    over_kimg,
)
from study.metrics.failure import wilson_interval
from tests.analysis.covered import changed, covered

COMPLETED = ("completed", [[0.0, 0.5, 1.0], [0.0, 0.25, 0.5]])


def test_a_trial_counts_with_the_mean_of_its_seeds() -> None:
    table = over_kimg(covered(COMPLETED))
    assert table["kimg_planned"].tolist() == [0, 1, 2]
    assert table["mode_coverage"].tolist() == [0, 0.375, 0.75]
    assert table["trials"].tolist() == [1, 1, 1]


def test_the_interval_is_students_of_configurations() -> None:
    ends = (0.4, 0.5, 0.6)
    table = over_kimg(covered(*(("completed", [[0.0, 0.1, end]]) for end in ends)))
    half = 4.302653 * 0.1 / math.sqrt(3)  # t of 2 degrees of freedom, standard deviation 0.1
    assert table.iloc[-1][["low", "high"]].tolist() == pytest.approx([0.5 - half, 0.5 + half], rel=1e-6)


def test_an_interval_stays_within_none_and_all() -> None:
    assert mean_interval([0.0, 1.0]) == (0.5, 0.0, 1.0)  # 0.5 +- 12.7 * 0.5


@pytest.mark.parametrize("values", [[0.5], [1.0, 1.0, 1.0]])
def test_where_nothing_differs_there_is_no_interval(values: list[float]) -> None:
    mean, low, high = mean_interval(values)
    assert mean == values[0]
    assert math.isnan(low)
    assert math.isnan(high)


def test_a_trial_that_was_stopped_counts_at_no_kimg() -> None:
    table = over_kimg(covered(COMPLETED, ("pruned", [[0.0, 0.0], [0.0, 0.0]]), ("interrupted", [[0.0]] * 2)))
    assert table["mode_coverage"].tolist() == [0, 0.375, 0.75]
    assert table["trials"].tolist() == [1, 1, 1]


def test_a_seed_that_diverged_reaches_no_mode_from_then_on() -> None:
    table = over_kimg(covered(("completed", [[0.5, None, None], [0.5, 1.0, 1.0]])))
    assert table["mode_coverage"].tolist() == [0.5, 0.5, 0.5]


def test_a_diverged_trial_counts_after_its_end() -> None:
    table = over_kimg(covered(COMPLETED, ("diverged", [[0.5, None], [0.5, None]])))
    assert table["mode_coverage"].tolist() == [0.25, 0.1875, 0.375]
    assert table["trials"].tolist() == [2, 2, 2]


def test_a_value_that_is_missing_leaves_its_trial_out_there() -> None:
    results = covered(COMPLETED, COMPLETED)
    curves = results.curves.copy()
    curves.loc[(curves["trial_id"] == "a-00000") & (curves["evaluation"] == 1), "mode_coverage"] = None
    table = over_kimg(changed(results, curves=curves))
    assert table["trials"].tolist() == [2, 1, 2]
    assert table["mode_coverage"].tolist() == [0, 0.375, 0.75]


def test_without_a_trial_that_ended_there_is_nothing_over_kimg() -> None:
    assert over_kimg(covered(("interrupted", [[0.0, 0.5]]))).empty


def test_a_trial_ranges_from_its_worst_seed_to_its_best() -> None:
    table = by_trial(covered(COMPLETED, ("completed", [[0.5, 0.5], [0.5, None]]), ("pruned", [[1.0]] * 2)))
    assert table["trial_id"].tolist() == ["a-00000", "a-00001"]
    assert table[["mode_coverage", "low", "high"]].to_numpy().tolist() == [[0.75, 0.5, 1], [0.25, 0, 0.5]]
    assert table["diverged"].tolist() == [0, 1]
    assert table["seeds"].tolist() == [2, 2]


def test_bins_have_the_mean_of_their_trials() -> None:
    """Of four: lr_g is in the first, third and last, in turn."""
    ends = (0.0, 0.25, 0.5, 0.5, 0.75, 1.0)
    results = covered(*(("completed", [[0.0, end]]) for end in ends))
    table = in_bins(results, by_trial(results), "lr_g")
    assert table["bin"].tolist() == [0, 1, 2, 3]
    assert table["trials"].tolist() == [2, 0, 2, 2]
    assert table["mode_coverage"].dropna().tolist() == [0.25, 0.5, 0.75]


def test_all_modes_means_in_all_seeds() -> None:
    whole, half = ("completed", [[1.0], [1.0]]), ("completed", [[1.0], [0.5]])
    share = all_covered(
        covered(whole, whole, half, ("completed", [[1.0], [None]]), ("pruned", [[1.0], [1.0]]))
    )
    assert share == (2, 4, *wilson_interval(2, 4))


def test_without_a_completed_trial_no_share_covers_all() -> None:
    assert all_covered(covered(("diverged", [[None], [None]]), ("pruned", [[1.0], [1.0]]))) is None


def test_counts_are_by_seed_kimg_and_mode() -> None:
    table = counts_of(covered(("completed", [[0.5, None], [0.5, 1.0]])), "a-00000")
    assert table["seed"].tolist() == [0] * 6 + [1] * 6
    assert table["mode"].tolist() == [0, 1, 2] * 4
    first, second = (
        table[table["seed"] == 0]["samples"].tolist(),
        table[table["seed"] == 1]["samples"].tolist(),
    )
    assert first[:3] == [40, 0, 5]
    assert all(math.isnan(count) for count in first[3:])  # it had diverged
    assert second == [40, 0, 5, 80, 0, 5]


def test_the_extreme_seeds_are_those_of_the_score() -> None:
    results = covered(("completed", [[0.5], [1.0], [0.25]]))  # w1, lower is better, is 1 - coverage
    assert extreme_seeds(results, "a-00000") == [1, 2]
    higher = covered(("completed", [[0.5], [1.0], [0.25]]), metric="hq")
    assert extreme_seeds(higher, "a-00000") == [2, 1]


def test_a_single_seed_is_the_best_and_the_worst() -> None:
    assert extreme_seeds(covered(("completed", [[0.5]])), "a-00000") == [0]


def test_data_without_modes_have_none() -> None:
    results = covered(COMPLETED)
    assert has_modes(results)
    without = results.curves.drop(columns="mode_coverage")
    assert not has_modes(changed(results, curves=without))
    assert not has_modes(changed(results, curves=results.curves.assign(mode_coverage=float("nan"))))
