"""Two trials, seed by seed, of curves written by hand."""

import pandas as pd
import pytest

from study.records.comparison import KIMG, SECONDS, Pairs, pair


def curves(*seeds: list[float], seconds: float = 2.0, died: int | None = None) -> pd.DataFrame:
    """A score an evaluation, one kimg apart, for each seed; from `died` on all have diverged."""
    return pd.DataFrame(
        [
            {
                "seed": seed,
                "evaluation": k,
                KIMG: float(k),
                SECONDS: seconds * k,
                "score": score,
                "diverged": died is not None and k >= died,
            }
            for seed, scores in enumerate(seeds)
            for k, score in enumerate(scores)
        ]
    )


def test_seeds_are_paired_where_both_trials_end() -> None:
    found = pair(curves([9, 5, 3], [9, 6, 2]), curves([9, 8, 7], [9, 8, 6]))
    assert found == Pairs(2.0, [0, 1], [3, 2], [7, 6])
    assert found.gains(higher_is_better=False) == [4, 4]
    assert found.gains(higher_is_better=True) == [-4, -4]


def test_the_shorter_one_says_when() -> None:
    assert pair(curves([9, 5, 3]), curves([9, 8])) == Pairs(1.0, [0], [5], [8])
    assert pair(curves([9, 8]), curves([9, 5, 3])) == Pairs(1.0, [0], [8], [5])


def test_a_trial_that_diverged_keeps_its_score_for_ever() -> None:
    assert pair(curves([9, 5, 3]), curves([9, 9], died=1)) == Pairs(2.0, [0], [3], [9])
    assert pair(curves([9, 9, 9], died=2), curves([9, 9], died=1)) == Pairs(2.0, [0], [9], [9])


def test_one_seed_that_is_left_ends_where_it_ends() -> None:
    other = curves([9, 8], [9, 9])
    other.loc[other.index[-1], "diverged"] = True
    found = pair(curves([9, 5, 3], [9, 6, 2]), other)
    assert found == Pairs(1.0, [0, 1], [5, 6], [8, 9])


def test_at_equal_seconds_scores_lie_on_the_line_between_evaluations() -> None:
    # 6 s are one and a half evaluations of the one, and the second of the other.
    found = pair(curves([9, 5, 3], seconds=4.0), curves([9, 8, 7], seconds=3.0), SECONDS)
    assert found is not None
    assert (found.at, *found.one, *found.other) == pytest.approx((6.0, 4.0, 7.0))


@pytest.mark.parametrize("other", [curves([9.0]), curves([9, 5]).iloc[:0], curves([9, 5]).assign(seed=7)])
def test_where_nothing_is_shared_there_is_no_pair(other: pd.DataFrame) -> None:
    assert pair(curves([9, 5]), other) is None
