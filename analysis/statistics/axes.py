"""The searched hyperparameters of a space as axes: on a unit scale, and in bins."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from study.space import Choice, Range, Space

FEW = 12  # values that are told one by one
BINS = 4  # of a range, each as wide as the others on its own scale


def ordered(space: Space) -> Space:
    """A space whose axes are in order: numbers of a choice by size; whole numbers, where few, are a choice.

    So "at least 64" is what it says, in whatever order the space's file lists them.
    """
    return replace(space, searched={name: _ordered(searched) for name, searched in space.searched.items()})


def _ordered(searched: Choice | Range) -> Choice | Range:
    if isinstance(searched, Range):
        few = searched.whole and searched.values is not None and len(searched.values) <= FEW
        return Choice(tuple(searched.values or ())) if few else searched
    numbers = all(isinstance(value, int | float) for value in searched.values)
    return Choice(tuple(sorted(searched.values))) if numbers else searched


def unit_scaled(space: Space, trials: pd.DataFrame) -> pd.DataFrame:
    """Each searched hyperparameter from 0 to 1: a range on its own scale, choices in their order, evenly.

    NaN where the trial could not be read.
    """
    return pd.DataFrame(
        {name: _place(searched, trials[name]) for name, searched in space.searched.items()},
        index=trials.index,
        dtype=float,
    )


def _place(searched: Choice | Range, values: pd.Series) -> pd.Series:
    if isinstance(searched, Choice):
        last = max(1, len(searched.values) - 1)
        places = {value: number / last for number, value in enumerate(searched.values)}
        return values.map(lambda value: math.nan if pd.isna(value) else places.get(value, math.nan))
    scale = np.log if searched.log else np.asarray
    low, high = scale(searched.low), scale(searched.high)
    return (pd.Series(scale(values.astype(float)), values.index) - low) / ((high - low) or 1.0)


@dataclass(frozen=True)
class Bin:
    """A part of an axis: one value, or a range from `low` to `high` (both in the hyperparameter's unit)."""

    label: str
    low: float | str
    high: float | str


def short(value: float) -> str:
    """A bound of an axis in two digits, or all of those before the point."""
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def bins(searched: Choice | Range, number: int = BINS) -> list[Bin]:
    """The bins of an axis, in order: a choice's values, or equal parts of a range."""
    if isinstance(searched, Choice):
        return [Bin(str(value), value, value) for value in searched.values]
    low, high = searched.low, searched.high
    edges = np.geomspace(low, high, number + 1) if searched.log else np.linspace(low, high, number + 1)
    return [Bin(f"{short(a)} to {short(b)}", float(a), float(b)) for a, b in pairwise(edges)]


def binned(space: Space, name: str, trials: pd.DataFrame, number: int = BINS) -> pd.Series:
    """The number of each trial's bin on an axis; null where the trial could not be read."""
    searched = space.searched[name]
    place = _place(searched, trials[name]).astype(float)
    last = len(bins(searched, number)) - 1
    if isinstance(searched, Choice):
        return (place * max(1, last)).round().astype("Int64")
    return pd.Series(np.floor(place * number), place.index).clip(0, last).astype("Int64")
