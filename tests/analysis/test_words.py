"""Numbers as words."""

import pytest

from analysis.words import counted, interval, number, sentences


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


def test_one_of_a_kind_has_no_plural() -> None:
    assert [counted(n, "trial") for n in (0, 1, 2000)] == ["0 trials", "1 trial", "2,000 trials"]


def test_what_says_nothing_is_left_out() -> None:
    assert sentences("One.", "Never." * False, "Two.") == "One. Two."
