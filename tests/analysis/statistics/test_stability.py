"""How often runs diverge: closed forms on a handful of runs."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.stability import Survival, failings, failure_by, failure_by_pair, survival
from study.metrics.failure import wilson_interval
from tests.analysis.made import made

KIMG = 6.0


def runs(*rows: tuple[str, str, float], **columns: Any) -> pd.DataFrame:
    """Trial, end and kimg at risk of each run."""
    return pd.DataFrame(rows, columns=["trial_id", "end", "kimg_at_risk"]).assign(**columns)


FOUR = runs(("a", "diverged", 2.0), ("b", "censored", 3.0), ("c", "diverged", 4.0), ("d", "survived", 6.0))


def curve(rows: pd.DataFrame) -> Survival:
    found = survival(rows, KIMG, np.random.default_rng(0))
    assert found is not None
    return found


def test_survival_is_the_product_over_those_at_risk() -> None:
    found = curve(FOUR)
    assert found.kimg.tolist() == [0, 2, 3, 4, 6]
    assert found.alive == pytest.approx([1, 3 / 4, 3 / 4, 3 / 8, 3 / 8])  # 3 of 4, then 1 of the 2 left
    assert found.at_risk.tolist() == [4, 4, 3, 2, 1]


def test_a_band_holds_its_curve() -> None:
    found = curve(FOUR)
    assert (found.low <= found.alive).all()
    assert (found.alive <= found.high).all()
    assert (found.low < found.high).all()


def test_seeds_that_share_their_fate_make_a_band_no_narrower() -> None:
    once, thrice = curve(FOUR), curve(pd.concat([FOUR] * 3))
    np.testing.assert_allclose(thrice.low, once.low)
    np.testing.assert_allclose(thrice.high, once.high)


def test_where_nobody_diverged_the_band_is_that_of_the_configurations_left() -> None:
    found = curve(runs(("a", "censored", 2.0), ("a", "censored", 2.0), ("b", "survived", 6.0)))
    assert found.alive.tolist() == [1, 1, 1]
    assert found.low == pytest.approx([1 - wilson_interval(0, n)[1] for n in (2, 2, 1)])


def test_a_curve_ends_where_the_last_run_was_seen() -> None:
    assert curve(runs(("a", "diverged", 2.0), ("b", "censored", 3.0))).kimg[-1] == 3


def test_without_a_run_there_is_no_curve() -> None:
    assert survival(runs(("a", None, np.nan)), KIMG, np.random.default_rng(0)) is None  # type: ignore[arg-type]


def four_trials() -> Any:
    """Batch sizes 32 and 64 of 32 .. 256; lr_g in the first and the last quarter of its axis."""
    results = made(np.random.default_rng(0), trials=4)
    config: dict[str, Any] = {"batch_size": [32, 32, 64, 64], "lr_g": [2e-5, 5e-3, 2e-5, 2e-5]}
    ends = runs(
        ("a", "diverged", 2.0), ("b", "diverged", 3.0), ("c", "survived", 20.0), ("d", "survived", 20.0)
    )
    return replace(results, runs=ends.assign(**config))


def test_failure_in_each_bin_of_an_axis() -> None:
    found = failure_by(four_trials(), "batch_size", np.random.default_rng(0))
    assert [bin_.label for bin_, _ in found] == ["32", "64", "128", "256"]
    assert [None if f is None else (f.rate, f.configurations) for _, f in found] == [
        (1, 2),
        (0, 2),
        None,
        None,
    ]


def test_cells_without_a_configuration_are_not_there() -> None:
    found = failure_by_pair(four_trials(), "lr_g", "batch_size", np.random.default_rng(0))
    told = {cell: (f.rate, f.configurations) for cell, f in found.items()}
    assert told == {(0, 0): (1, 1), (3, 0): (1, 1), (0, 1): (0, 2)}


def test_configurations_that_were_stopped_early_are_not_said_to_have_never_learned() -> None:
    results = made(np.random.default_rng(0), trials=4)
    trials = results.trials.assign(
        state=["completed", "diverged", "pruned", "completed"],
        n_never_learned=[0, 2, 2, 1], n_never_covered=None, n_collapsed=0,
    )  # fmt: skip
    learned, collapsed = failings(replace(results, trials=trials))
    assert (learned.failing, learned.count, learned.n) == ("never learned", 2, 3)
    assert (learned.low, learned.high) == wilson_interval(2, 3)
    assert (collapsed.failing, collapsed.count, collapsed.n) == ("collapsed", 0, 3)
