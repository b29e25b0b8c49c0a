"""A region is claimed where runs diverge more, and nowhere else."""

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.region import LEAST, excess, riskiest
from tests.analysis.made import made
from tests.benchmarks.planted import CORNER, null, place, planted


def test_what_diverged_beyond_chance() -> None:
    """Hazards 1/3 at 1 and 1/2 at 2, of which each has gone through those up to its own end."""
    runs = pd.DataFrame(
        {
            "trial_id": ["a", "b", "c"],
            "end": ["diverged", "diverged", "survived"],
            "kimg_at_risk": [1.0, 2.0, 4.0],
        }
    )
    assert excess(runs, 4.0).to_dict() == pytest.approx({"a": 1 - 1 / 3, "b": 1 - 5 / 6, "c": -5 / 6})


def test_what_diverges_later_than_the_budget_does_not_count() -> None:
    runs = pd.DataFrame({"trial_id": ["a", "b"], "end": ["diverged", "survived"], "kimg_at_risk": [5.0, 6.0]})
    assert excess(runs, 4.0).to_dict() == {"a": 0, "b": 0}


def test_a_planted_corner_is_told_within_a_bin() -> None:
    results = planted(0)
    found = riskiest(results, np.random.default_rng(0))
    assert found is not None
    told = {c.name: (c.side, place(results, c.name, c.bound)) for c in found.conditions}
    assert told.keys() == CORNER.keys()
    for name, above in CORNER.items():
        assert told[name] == ("above", pytest.approx(above, abs=0.25))
    assert found.inside.rate > 0.5 > found.outside.rate  # type: ignore[operator]


def test_what_one_hyperparameter_does_is_not_told_of_two() -> None:
    results = made(np.random.default_rng(1), 128, risk=lambda u: np.where(u["beta1"] > 0.75, 0.9, 0.02))
    found = riskiest(results, np.random.default_rng(0))
    assert found is not None
    assert [(c.name, c.side) for c in found.conditions] == [("beta1", "above")]


def test_chance_is_seldom_called_a_region() -> None:
    """At a level of 1%, 2 of 10 would be seen once in 240 times."""
    claims = [riskiest(null(k), np.random.default_rng(k)) is not None for k in range(10)]
    assert sum(claims) < 2


def test_where_the_worst_are_stopped_early_nothing_is_claimed() -> None:
    """All informed trials with lr_d high are such that diverged: the others were stopped before the end."""
    claims = [
        riskiest(
            made(
                np.random.default_rng(k),
                64,
                risk=lambda u: np.full(len(u), 0.2),
                pruned=lambda u: np.where(u["lr_d"] > 0.5, 1.1, 0.0),
            ),
            np.random.default_rng(k),
        )
        for k in range(5)
    ]
    assert claims == [None] * 5


def test_few_trials_tell_no_region() -> None:
    results = made(np.random.default_rng(0), LEAST - 1, risk=lambda u: np.where(u["lr_g"] > 0.5, 1.1, 0.0))
    assert riskiest(results, np.random.default_rng(0)) is None


def test_conditions_read_as_words() -> None:
    results = made(np.random.default_rng(0), 64, risk=lambda u: np.where(u["batch_size"] == 0, 1.1, 0.0))
    assert str(riskiest(results, np.random.default_rng(0))) == "batch_size at most 32"
