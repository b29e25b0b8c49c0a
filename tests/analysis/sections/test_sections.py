"""Sections of all kinds of studies: no empty figure, n in every caption, and no error."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.chart import Chart
from analysis.sections import hyperparameters, stability
from analysis.sections.parts import charts
from analysis.tables import SpaceResults
from tests.analysis.made import FIVE, made

CLIPPED = {
    "n_critic": {"values": [1, 5]},
    "lambda_gp": FIVE["lambda_gp"],
    "init": {"values": ["he", "torch"]},
}


def always(u: pd.DataFrame) -> np.ndarray:
    return np.full(len(u), 1.1)


def some(u: pd.DataFrame) -> np.ndarray:
    return np.arange(len(u)) % 2.0


def half(u: pd.DataFrame) -> np.ndarray:
    return np.full(len(u), 0.5)


def of(**how: Any) -> SpaceResults:
    return made(np.random.default_rng(0), **how)


def running() -> SpaceResults:
    """The tables of a study whose trials have begun: nothing ended, much unknown."""
    results = of(trials=4, pruned=always)
    trials = results.trials.assign(
        state="interrupted", objective=np.nan, n_never_learned=None, failure_rate=np.nan
    )
    runs = results.runs.assign(score=np.nan, never_learned=None)
    return replace(results, trials=trials, runs=runs, floor={})


def empty() -> SpaceResults:
    """A study whose first trial has not been evaluated."""
    results = of(trials=2)
    return replace(
        results, trials=results.trials.iloc[:0], runs=results.runs.iloc[:0], curves=results.curves.iloc[:0]
    )


SOME = {"survival", "learning_curves_space", "losses_space"}
FAILED = {"failure_by_hyperparameter_space", "failure_map_lr_g_lr_d_space", "failings_space"}
KINDS: dict[str, tuple[Callable[[], SpaceResults], set[str]]] = {
    "empty": (empty, set()),
    "running": (running, SOME),
    "one trial of one seed": (lambda: of(trials=1, seeds=1), SOME | {"seeds_space", "slices_space"}),
    "nothing diverged": (lambda: of(), SOME | {"seeds_space", "slices_space", "parallel_space"}),
    "all diverged": (
        lambda: of(risk=always, seeds=1),
        SOME | FAILED | {"seeds_space", "slices_space", "parallel_space"},
    ),
    "none completed": (lambda: of(pruned=always), SOME | {"slices_space"}),
    "higher is better": (
        lambda: of(metric="hq", risk=half),
        SOME | FAILED | {"seeds_space", "slices_space", "parallel_space"},
    ),
    "no lr_g": (
        lambda: of(searched=CLIPPED, risk=half),
        SOME
        | {"failure_by_hyperparameter_space", "failure_map_n_critic_lambda_gp_space", "failings_space"}
        | {"seeds_space", "slices_space", "parallel_space"},
    ),
}


def both(results: SpaceResults) -> list[Chart]:
    return [*charts(stability, [results]), *charts(hyperparameters, [results])]


@pytest.mark.parametrize("kind", KINDS)
def test_a_section_has_the_charts_that_its_tables_allow(kind: str) -> None:
    make, names = KINDS[kind]
    found = both(make())
    assert {chart.name for chart in found} == names
    assert len(found) == len(names)
    for chart in found:
        assert len(chart.numbers), f"{chart.name} draws nothing"
        assert any(letter.isdigit() for letter in chart.caption), f"{chart.name} does not say n"
        assert chart.alt


def test_a_mapped_space_has_importances() -> None:
    (found,) = (chart for chart in both(of(trials=32, risk=half)) if chart.name == "importance_space")
    assert set(found.numbers["of"]) == {"divergence", "objective"}
    assert set(found.numbers["n"]) == {32}
    assert "mostly noise" not in found.caption


def test_a_study_that_looks_for_the_best_says_what_it_does_not_allow() -> None:
    kind = {"samplers": "tpe", "schedulers": "asha"}
    found = {chart.name: chart.caption for chart in both(of(pruned=some, **kind))}
    assert "early stopping ends the worst trials" in found["survival"]
    for name in ("slices_space", "parallel_space"):
        assert "mostly noise" in found[name]
        assert "--map" in found[name]
        assert "its sampler avoids what it doesn't like and early stopping cuts the rest short" in found[name]
    calm = {chart.name: chart.caption for chart in both(of(samplers="tpe"))}
    assert "early stopping" not in " ".join(calm.values())
    assert "its sampler avoids what it doesn't like. Importances" in calm["slices_space"]


def test_spaces_of_several_studies_have_charts_of_their_own() -> None:
    two = [replace(of(), label=f"{study}: space") for study in ("mine", "other")]
    names = [chart.name for chart in charts(stability, two)]
    assert len(set(names)) == len(names)
    assert {"survival", "losses_mine_space", "losses_other_space"} <= set(names)
