"""Spaces against each other, tuned against default, and Pareto fronts."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.comparison import against_each_other, pareto_front, parts, respects
from analysis.statistics.seeds import difference
from analysis.statistics.tuned import against_default
from study.records.comparison import KIMG, SECONDS
from tests.analysis.synthetic import made

ONE = made([[0.9, 0.9], [0.3, 0.4]], space="one")
OTHER = made([[0.9, 0.9], [0.5, 0.7]], space="other")


def test_the_best_is_compared_with_the_default_seed_by_seed() -> None:
    results = made([[0.9, 0.8, 0.9], [0.3, 0.4, 0.2], [0.6, 0.5, 0.5]])
    found = against_default(results)
    assert found is not None
    assert (found.best, found.default, found.pairs.at) == ("a-00001", "a-00000", 3.0)
    expected = difference(np.log([9 / 3, 8 / 4, 9 / 2]).tolist(), 2, relative=True)  # chosen among two
    assert found.gain.said == expected.said
    assert (found.gain.low, found.gain.high) == pytest.approx((expected.low, expected.high))


def test_candidates_that_were_trained_as_far_moderate_the_gain() -> None:
    scores = [[0.9, 0.8], [0.3, 0.4], [0.6, 0.5], [0.7, 0.8], [0.5, 0.5], [0.4, 0.6]]
    stopped = ["completed"] * 5 + ["pruned"]
    found = against_default(made(scores, state=stopped))
    assert found is not None
    assert found.gain.spread is not None
    assert (found.gain.spread.prior.members, found.gain.comparisons) == (4, 5)


def test_a_distance_of_zero_has_no_logarithm() -> None:
    found = against_default(made([[0.9, 0.8], [0.3, 0.4], [0.6, 0.0]]))
    assert found is not None
    assert found.gain.said == "0.550 better"  # gains of 0.3 and 0.8


def test_where_higher_is_better_so_is_the_gain() -> None:
    found = against_default(made([[0.5, 0.5], [0.8, 0.7]], metric="hq"))
    assert found is not None
    assert found.gain.mean == pytest.approx(0.25)


@pytest.mark.parametrize(
    "results",
    [
        made([[0.2, 0.2], [0.5, 0.5]]),  # the default is the best
        made([[0.2, 0.2], [0.5, 0.5]], origin="sampler"),  # there is none
        made([[0.2, 0.2], [0.1, 0.1]], state="pruned"),  # there is no best
    ],
)
def test_without_two_trials_there_is_no_comparison(results: object) -> None:
    assert against_default(results) is None  # type: ignore[arg-type]


def test_spaces_are_compared_at_equal_kimg_and_at_equal_seconds() -> None:
    at_kimg, at_seconds = against_each_other([ONE, OTHER])
    assert (at_kimg.one, at_kimg.other, at_kimg.clock, at_kimg.at) == ("one", "other", KIMG, 3.0)
    assert at_kimg.gain.mean == pytest.approx(0.25)
    assert at_kimg.gain.comparisons == 2  # one pair, two clocks
    assert (at_seconds.clock, at_seconds.at) == (SECONDS, 6.0)  # 12 s of two seeds


def test_a_slower_space_is_compared_where_it_was_when_the_faster_ended() -> None:
    curves = ONE.curves.assign(train_seconds=ONE.curves["train_seconds"] * 3)
    found = against_each_other([replace(ONE, curves=curves), OTHER])[1]
    # After 6 s of its 18 it is a third of the way from 1 to 0.3 and 0.4.
    assert found.gain.mean == pytest.approx((0.5 + 0.7) / 2 - (1 - (0.7 + 0.6) / 2 / 3))


def test_seconds_of_different_machines_are_not_compared() -> None:
    elsewhere = replace(OTHER, record={**OTHER.record, "hardware": {"cpus": 64}})
    assert [found.clock for found in against_each_other([ONE, elsewhere])] == [KIMG]


def test_bests_of_unequally_many_are_corrected_for_the_parts() -> None:
    assert [parts(12, 12), parts(24, 6), parts(6, 25), parts(2, 3)] == [1, 4, 5, 2]
    many = made([[0.9, 0.9]] * 5 + [[0.3, 0.4]], space="many")
    assert against_each_other([many, OTHER])[0].gain.comparisons == 2 * 3


def test_a_space_without_a_best_is_left_out() -> None:
    assert against_each_other([ONE, made([[0.5, 0.5]], state="pruned", space="other")]) == []


def test_nobody_on_the_front_is_beaten_and_everybody_else_is() -> None:
    costs = np.random.default_rng(0).integers(0, 6, (200, 3)).astype(float)
    front = pareto_front(costs)
    for row, is_front in zip(costs, front, strict=True):
        beaten = ((costs <= row).all(1) & (costs < row).any(1)).any()
        assert is_front == (not beaten)


def test_a_seed_that_diverged_covers_nothing() -> None:
    table, name = respects(
        made([[0.2, 0.4], [0.2, math.nan], [0.1, 0.1]], state=["completed"] * 2 + ["pruned"])
    )
    assert name == "mode_coverage"
    assert table["trial_id"].tolist() == ["a-00000", "a-00001"]  # of the one stopped early nobody knows
    assert table["coverage"].tolist() == pytest.approx([0.7, 0.4])
    assert table["failure_rate"].tolist() == [0.0, 0.5]


def test_data_without_modes_have_no_coverage() -> None:
    results = made([[0.2, 0.4], [0.1, 0.1]])
    bare = replace(results, runs=results.runs.drop(columns="mode_coverage"))
    table, name = respects(bare)
    assert name is None
    assert isinstance(table, pd.DataFrame)
    assert "coverage" not in table
