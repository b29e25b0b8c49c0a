"""Values that others wrote, held against declared types."""

import math
from dataclasses import dataclass
from typing import Any, Required, TypedDict

import pytest

from study.errors import ConfigError
from study.machine.typed import check_fields, misfit


class Known(TypedDict, total=False):
    name: Required[str]
    sizes: list[int]
    parts: dict[str, float | None]


@pytest.mark.parametrize(
    ("value", "declared"),
    [
        (3, int),
        (-(2**63) + 1, int),
        (3, float),
        (0.5, float),
        (True, bool),
        ("", str),
        (None, str | None),
        ("a", int | str),
        ([], list[int]),
        ((1, 2), tuple[int, ...]),
        ({"a": [1]}, dict[str, Any]),
        ({"name": "a"}, Known),
        ({"name": "a", "sizes": [1], "parts": {"b": None, "c": 1.0}, "other": object()}, Known),
        (object(), Any),
    ],
)
def test_what_has_its_type_is_taken(value: object, declared: Any) -> None:
    assert misfit("it", value, declared) == ""


@pytest.mark.parametrize(
    ("value", "declared", "words"),
    [
        (True, int, "it = True is not a whole number of 64 bits"),
        (1.0, int, "it = 1.0 is not a whole number of 64 bits"),
        (2**63, int, "it = 9223372036854775808 is not a whole number of 64 bits"),
        (True, float, "it = True is not a finite number"),
        (math.nan, float, "it = nan is not a finite number"),
        (-math.inf, float, "it = -inf is not a finite number"),
        ("1", float, "it = '1' is not a finite number"),
        (1, bool, "it = 1 is not true or false"),
        (None, str, "it = None is not text"),
        (3, str | None, "it = 3 is not text or null"),
        (3.5, int | str, "it = 3.5 is not a whole number of 64 bits or text"),
        ("ab", list[str], "it = 'ab' is not a list"),
        ([1, "2"], list[int], "it[1] = '2' is not a whole number of 64 bits"),
        ((0, None), tuple[int, ...], "it[1] = None is not a whole number of 64 bits"),
        ([], dict[str, Any], "it = [] is not a dict"),
        ({"a": {"b": 1}}, dict[str, dict[str, str]], "it: 'a': 'b' = 1 is not text"),
        ([], Known, "it = [] is not a dict"),
        ({}, Known, "it has no name"),
        ({"name": "a", "parts": {"b": "c"}}, Known, "it: parts: 'b' = 'c' is not a finite number or null"),
        ([10**400], list[float], "it[0] = "),
    ],
)
def test_what_has_not_is_told_with_its_place(value: object, declared: Any, words: str) -> None:
    assert misfit("it", value, declared).startswith(words)


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000, 10**10_000, list(range(10_000)), {"x" * 10_000: 1}],
    ids=["text", "digits", "list", "dict"],
)
def test_of_a_long_value_the_beginning_is_told(value: object) -> None:
    wrong = misfit("it", value, float)
    assert wrong.endswith(" is not a finite number")
    assert len(wrong) < 250


def test_a_dataclass_is_told_of_by_its_field() -> None:
    @dataclass
    class Own:
        name: str
        sizes: tuple[int, ...]

    check_fields(Own("a", (1,)))
    with pytest.raises(ConfigError, match=r"^sizes\[0\] = 'a' is not a whole number"):
        check_fields(Own("a", ("a",)))  # type: ignore[arg-type]
