"""A trial's rows beside those of the same trial trained again: which values differ, and whether they may.

A trial that has its pack to itself has the same bits each time. In a shared pack sums are rounded otherwise
than alone, and training amplifies that: from a unit of float32 in the weights to at most 1.2% of losses and
gradient norms in 20 updates (in bf16 13%), and to anything in 60, at the learning rates that spaces search
(tests/benchmarks/README.md, "How rounding grows"). So of such a trial these columns are judged in the first
ROUNDED_UPDATES; of what comes later, only what rounding can't change is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from study.records.objective import check_order, evaluations
from study.records.schema import CLOCKS, METERS, Row, untimed

ROUNDED_UPDATES = 20  # of critic and generator together
ROUNDED_SHARE = {"fp32": 0.02, "bf16": 0.2}  # by precision
COUNTED = ("kimg", *(column.name for column in CLOCKS if not column.timed))
MEASURED = [column.name for column in METERS]


@dataclass(frozen=True)
class Difference:
    """A value that is another one the second time.

    Attributes:
        recorded, again: None where there is none.
        share: the difference, in parts of the largest value that was recorded of the column; 1 of what is no
            number; infinite where no rounding could have made it.
    """

    evaluation: int
    seed: int
    column: str
    recorded: Any
    again: Any
    share: float

    def may_be_rounding(self, updates: int, precision: str) -> bool:
        """Whether it may come of having shared a pack; `updates`: how many there were until then."""
        if updates == 0 or self.share == math.inf:
            return False
        return not self.is_apart(precision) or updates > ROUNDED_UPDATES

    def is_apart(self, precision: str) -> bool:
        """Whether a loss or gradient norm differs by more than what is allowed in the first updates."""
        return self.column in MEASURED and self.share > ROUNDED_SHARE[precision]


class Recorded:
    """A trial's rows as they were recorded, to compare others with.

    Attributes:
        rows: by evaluation, in order, one a seed.
        columns: what is compared: all that was recorded, but for what tells of time and place.
    """

    def __init__(self, rows: Sequence[Row], seeds: Sequence[int]) -> None:
        """Without an evaluation at the end that lacks seeds: a kill cut it off.

        Raises ValueError: rows are missing, or doubled, or there is none.
        """
        check_order(seeds, rows)
        whole = rows[: len(rows) - len(rows) % len(seeds)]
        if not whole:
            raise ValueError("it has no evaluation yet")
        self.rows = evaluations(whole)
        self.columns = list(dict.fromkeys(name for row in whole for name in untimed(row)))
        self._largest = {name: max(_size(row.get(name)) for row in whole) for name in self.columns}

    def updates(self, evaluation: int) -> int:
        """Of critic and generator together, until then."""
        row = self.rows[evaluation][0]
        return sum(row.get(name) or 0 for name in ("critic_updates", "generator_updates"))

    def differences(self, evaluation: int, again: Sequence[Row]) -> list[Difference]:
        """What differs in one evaluation, in order of seed and column; without a row where it wasn't made."""
        own = self.rows[evaluation]
        # Of a trial that ends because all its seeds diverge, rounding may change when.
        ends = any(rows and all(row["diverged"] for row in rows) for rows in (own, again))
        if not again:
            share = 1.0 if ends else math.inf
            return [Difference(evaluation, own[0]["seed"], "evaluation", evaluation, None, share)]
        found = []
        for one, two in zip(own, again, strict=True):
            for name in self.columns:
                if repr(one.get(name)) == repr(two.get(name)):  # all the digits that a float has
                    continue
                share = self._share(name, one.get(name), two.get(name))
                if name in COUNTED and not ends:
                    share = math.inf
                found.append(Difference(evaluation, one["seed"], name, one.get(name), two.get(name), share))
        return found

    def _share(self, column: str, one: Any, two: Any) -> float:
        if isinstance(one, list) and isinstance(two, list) and len(one) == len(two):
            apart: float = sum(abs(a - b) for a, b in zip(one, two, strict=True))
        elif _is_number(one) and _is_number(two):
            apart = abs(one - two)
        else:
            return 1.0
        return apart / self._largest[column] if self._largest[column] else 1.0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(value: Any) -> float:
    """Of a number its size, of counts their sum, of anything else 0."""
    if isinstance(value, list):
        return float(sum(value))
    return float(abs(value)) if _is_number(value) else 0.0
