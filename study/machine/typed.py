"""What others may have written, held against the types that are declared for it."""

import math
import sys
from collections.abc import Callable, Hashable
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

from study.errors import ConfigError, shown

MOST_WHOLE = 2**63 - 1  # of the tables' whole numbers


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -MOST_WHOLE <= value <= MOST_WHOLE


def _is_number(value: Any) -> bool:
    """A finite one: JSON as Python reads it has NaN and infinity, and whole numbers beyond every float."""
    if isinstance(value, float):
        return math.isfinite(value)
    largest = sys.float_info.max
    return isinstance(value, int) and not isinstance(value, bool) and -largest <= value <= largest


# Of a single value: whether it has the type, and the type in words.
SINGLE: dict[Any, tuple[Callable[[Any], bool], str]] = {
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (_is_whole, "a whole number of 64 bits"),
    float: (_is_number, "a finite number"),
    str: (lambda value: isinstance(value, str), "text"),
    NoneType: (lambda value: value is None, "null"),
}


def misfit(name: str, value: Any, declared: Any) -> str:
    """How a value is not of the declared type, in words that begin with its name; '' where it is.

    `declared`: Any, a class, a union, a list, tuple or dict of such types, or a TypedDict, beside whose keys
    a value may have others.
    """
    if single := SINGLE.get(declared):
        fits, words = single
        return "" if fits(value) else f"{name} = {shown(value)} is not {words}"
    if declared is Any:
        return ""
    if is_typeddict(declared):
        return _misfit_of_keys(name, value, declared)
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (Union, UnionType):
        wrong = [misfit(name, value, argument) for argument in arguments]
        if "" in wrong or not SINGLE.keys() >= {*arguments}:
            return "" if "" in wrong else wrong[0]
        return f"{name} = {shown(value)} is not {' or '.join(SINGLE[kind][1] for kind in arguments)}"
    kind = origin or declared
    if not isinstance(value, kind):
        return f"{name} = {shown(value)} is not a {kind.__name__}"
    parts: list[tuple[str, Any, Any]] = []
    if kind is dict and arguments:
        parts = [(f"a key of {name}", key, arguments[0]) for key in value]
        parts += [(f"{name}: {shown(key)}", part, arguments[1]) for key, part in value.items()]
    elif arguments:  # a list's, or a tuple's of any length
        parts = [(f"{name}[{place}]", part, arguments[0]) for place, part in enumerate(value)]
    return next(filter(None, (misfit(*part) for part in parts)), "")


def _misfit_of_keys(name: str, value: Any, declared: Any) -> str:
    if not isinstance(value, dict):
        return f"{name} = {shown(value)} is not a dict"
    hints = _hints(declared)
    for key in sorted(declared.__required_keys__ - value.keys()):
        return f"{name} has no {key}"
    found = (misfit(f"{name}: {key}", value[key], hint) for key, hint in hints.items() if key in value)
    return next(filter(None, found), "")


def check_fields(instance: Any) -> None:
    """Raise ConfigError where a dataclass's field does not have its declared type."""
    for name, hint in _hints(type(instance)).items():  # type: ignore[arg-type]
        if wrong := misfit(name, getattr(instance, name), hint):
            raise ConfigError(wrong)


@cache
def _hints(declared: Hashable) -> dict[str, Any]:
    return get_type_hints(declared)
