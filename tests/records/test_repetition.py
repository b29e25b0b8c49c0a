"""Rows beside rows: any bit that differs is found, and rounding is told from what it can't do."""

import math
from typing import Any

import pytest

from study.records.repetition import ROUNDED_SHARE, Difference, Recorded
from study.records.schema import TIMED, Row
from tests.records.written import row

SEEDS = (0, 1)


def evaluation(number: int, **changes: Any) -> list[Row]:
    return [row(seed, number, 0.5 + seed, **changes) for seed in SEEDS]


def recorded() -> Recorded:
    return Recorded([*evaluation(0), *evaluation(1, loss_d=-4.0), *evaluation(2)], SEEDS)


def test_equal_rows_do_not_differ_whenever_and_wherever_they_were_made() -> None:
    elsewhere = {"evaluated": "later", "host": "there", "train_seconds": 1e9, "eval_seconds": 0.0}
    assert elsewhere.keys() == TIMED & row(0, 0, 1.0).keys()
    assert recorded().differences(2, evaluation(2, **elsewhere)) == []
    assert TIMED.isdisjoint(recorded().columns)
    assert {"w1", "score", "kimg", "reason", "mode_counts"} <= set(recorded().columns)


@pytest.mark.parametrize(
    ("column", "value", "share"),
    [
        ("loss_d", math.nextafter(1.5, 2), 2**-52 / 4),  # -4 is the largest there is
        ("loss_d", None, 1),
        ("w1", 0.75, 0.25 / 1.5),
        ("reason", "NaN", 1),
        ("diverged", True, 1),
        ("mode_counts", [3, 1, 1], 2 / 5),
        ("mode_counts", [3, 0], 1),
        ("mode_counts", None, 1),
        ("diverged_at_kimg", 1.5, 1),
        ("kimg", 2.0000001, math.inf),
        ("critic_updates", 21, math.inf),
        ("generator_updates", 5, math.inf),
    ],
)
def test_a_difference_has_its_place_and_its_share_of_the_largest(
    column: str, value: Any, share: float
) -> None:
    first, second = evaluation(2)
    (found,) = recorded().differences(2, [first | {column: value}, second])
    assert (found.evaluation, found.seed, found.column) == (2, 0, column)
    assert (found.recorded, found.again) == (first[column], value)
    assert found.share == pytest.approx(share, rel=1e-12)


def test_zeros_of_different_signs_differ() -> None:
    known = Recorded(evaluation(0, loss_d=0.0), SEEDS)
    assert [d.column for d in known.differences(0, evaluation(0, loss_d=-0.0))] == ["loss_d"] * 2


def test_a_column_that_was_not_recorded_is_not_compared() -> None:
    assert recorded().differences(2, evaluation(2, of_a_later_version=1.0)) == []


def test_they_come_in_order_of_seed_and_column() -> None:
    again = evaluation(2, loss_d=7.0, hq=7.0)
    places = [(found.seed, found.column) for found in recorded().differences(2, again)]
    assert places == [(0, "hq"), (0, "loss_d"), (1, "hq"), (1, "loss_d")]


def test_an_evaluation_that_was_not_made_again_is_a_difference_that_no_rounding_makes() -> None:
    assert recorded().differences(2, []) == [Difference(2, 0, "evaluation", 2, None, math.inf)]


def test_when_all_seeds_diverge_rounding_may_decide_when() -> None:
    dead = [row(seed, 2, None) for seed in SEEDS]
    later = [row(seed, 2, None, kimg=1.9, critic_updates=19) for seed in SEEDS]
    known = Recorded([*evaluation(0), *dead], SEEDS)
    assert {d.column for d in known.differences(2, later)} == {"kimg", "critic_updates"}
    assert all(d.may_be_rounding(24, "fp32") for d in known.differences(2, later))
    assert all(d.may_be_rounding(24, "fp32") for d in known.differences(2, []))


def test_an_evaluation_that_a_kill_cut_off_is_left_out() -> None:
    known = Recorded([*evaluation(0), *evaluation(1)[:1]], SEEDS)
    assert list(known.rows) == [0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no evaluation yet"),
        (evaluation(0)[:1], "no evaluation yet"),
        ([*evaluation(0), *evaluation(0)], "does not follow"),
        ([*evaluation(0)[:1], *evaluation(1)], "does not follow"),
        ([*evaluation(0)[::-1]], "does not follow"),
    ],
)
def test_rows_that_are_missing_or_doubled_are_an_error(rows: list[Row], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recorded(rows, SEEDS)


@pytest.mark.parametrize("precision", ROUNDED_SHARE)
@pytest.mark.parametrize(
    ("updates", "column", "of_allowed", "may"),
    [
        (0, "loss_d", 1e-9, False),
        (20, "loss_d", 0.99, True),
        (20, "loss_d", 1.01, False),
        (20, "w1", 5, True),
        (21, "loss_d", 5, True),
        (21, "kimg", math.inf, False),
    ],
)
def test_rounding_does_little_at_first_and_anything_later(
    precision: str, updates: int, column: str, of_allowed: float, may: bool
) -> None:
    found = Difference(1, 0, column, 1.0, 2.0, of_allowed * ROUNDED_SHARE[precision])
    assert found.may_be_rounding(updates, precision) is may


def test_the_updates_of_an_evaluation_are_those_of_both_players() -> None:
    assert [recorded().updates(number) for number in (0, 1, 2)] == [0, 12, 24]
