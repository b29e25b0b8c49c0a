"""Numbers as words."""

import pytest

from analysis.words import better, interval, number


@pytest.mark.parametrize(
    ("value", "word"),
    [(13.61, "13.6"), (2115.2, "2,115"), (0.04213, "0.0421"), (1e-5, "1e-05"), (3e7, "3e+07")],
)
def test_a_number_has_three_digits_and_no_needless_exponent(value: float, word: str) -> None:
    assert number(value) == word
    assert number(-value) == f"-{word}"


def test_an_interval_is_told_where_there_is_one() -> None:
    assert interval(-0.5, 12.0) == "95% interval -0.500 to 12.0"
    assert interval(None, None) == interval(float("nan"), float("nan")) == "no interval"


def test_a_loss_is_called_one() -> None:
    assert (better(1.5), better(-1.5)) == ("1.50 better", "1.50 worse")
