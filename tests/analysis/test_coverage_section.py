"""The charts and the sentence of mode coverage: what they say, and where there is nothing to say."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from analysis.chart import Chart
from analysis.figures.style import BLUE, ORANGE
from analysis.sections import coverage as section
from analysis.sections.parts import charts as charts_of
from analysis.tables import SpaceResults
from analysis.verdicts import coverage
from tests.analysis.covered import Trial, changed, covered

GOOD: Trial = ("completed", [[0.0, 0.5, 1.0], [0.0, 1.0, 1.0]])
POOR: Trial = ("completed", [[0.0, 0.25, 0.5], [0.0, None, None]])
PRUNED: Trial = ("pruned", [[0.0, 0.0], [0.0, 0.0]])
DEAD: Trial = ("diverged", [[0.0, None], [0.0, None]])


def drawn(*trials: Trial, **plan: Any) -> dict[str, Chart]:
    charts = list(charts_of(section, [covered(*trials, **plan)]))
    assert len({chart.name for chart in charts}) == len(charts)
    return {chart.name: chart for chart in charts}


def test_of_a_space_each_figure_is_drawn() -> None:
    assert list(drawn(GOOD, POOR, PRUNED, DEAD)) == [
        "coverage_over_kimg",
        "coverage_by_hyperparameter_a",
        "mode_counts_a",
    ]


@pytest.mark.parametrize("trials", [[PRUNED], [("interrupted", [[0.0, 0.5]])], [("failed", [[0.0]])]])
def test_where_nothing_ended_by_itself_nothing_is_drawn(trials: list[Trial]) -> None:
    assert drawn(*trials) == {}


def test_where_all_diverged_no_trial_has_its_modes_drawn() -> None:
    charts = drawn(DEAD, DEAD)
    assert list(charts) == ["coverage_over_kimg", "coverage_by_hyperparameter_a"]
    assert charts["coverage_over_kimg"].numbers["mode_coverage"].tolist() == [0, 0]


def test_one_trial_of_one_seed_is_drawn() -> None:
    assert len(drawn(("completed", [[0.0, 1.0]]), seeds=1)) == 3


def test_data_without_modes_have_no_chart() -> None:
    results = covered(GOOD)
    curves, runs = (table.drop(columns="mode_coverage") for table in (results.curves, results.runs))
    assert list(charts_of(section, [changed(results, curves=curves, runs=runs)])) == []


def test_the_line_is_the_mean_and_the_caption_tells_n_and_who_is_left_out() -> None:
    chart = drawn(GOOD, POOR, PRUNED)["coverage_over_kimg"]
    (axes,) = chart.figure.axes
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[0, 0], [1, 0.4375], [2, 0.625]]
    assert "n = 2 trials" in chart.caption
    assert "left out at every kimg are 1 pruned" in chart.caption
    assert axes.get_legend_handles_labels()[1] == ["a (n = 2)"]


def test_two_spaces_share_an_axis() -> None:
    results = covered(GOOD)
    other = changed(covered(POOR), label="other: a")
    chart = next(charts_of(section, [results, other]))
    assert [line.get_label() for line in chart.figure.axes[0].lines] == ["a (n = 1)", "other: a (n = 1)"]
    names = [chart.name for chart in charts_of(section, [results, other])]
    assert len(set(names)) == len(names)


def test_a_trial_stands_at_its_value_from_its_worst_seed_to_its_best() -> None:
    chart = drawn(GOOD, POOR)["coverage_by_hyperparameter_a"]
    axes = next(axes for axes in chart.figure.axes if axes.get_xlabel() == "lr_g")
    points = {to_hex(line.get_color()): np.asarray(line.get_xydata()).tolist() for line in axes.lines[:2]}
    assert points == {BLUE: [[1e-4, 1.0]], ORANGE: [[2e-3, 0.25]]}
    (segment,) = axes.collections[1].get_segments()  # type: ignore[attr-defined]
    assert segment.tolist() == [[2e-3, 0], [2e-3, 0.5]]
    assert axes.get_xscale() == "log"


def test_each_part_of_an_axis_says_how_many_trials_it_has() -> None:
    chart = drawn(GOOD, POOR)["coverage_by_hyperparameter_a"]
    axes = next(axes for axes in chart.figure.axes if axes.get_xlabel() == "lr_g")
    assert [text.get_text() for text in axes.texts] == ["n=1", "n=0", "n=1", "n=0"]


def test_of_many_trials_some_are_drawn_and_the_caption_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(section, "MOST_TRIALS", 3)
    chart = drawn(*[GOOD] * 5)["coverage_by_hyperparameter_a"]
    assert len(chart.numbers) == 3
    assert "3 of 5 trials, at random" in chart.caption


def test_modes_are_drawn_by_seed_with_divergence_apart_from_none() -> None:
    chart = drawn(POOR)["mode_counts_a"]
    first, second, _ = chart.figure.axes  # two seeds and the scale
    assert [axes.get_title() for axes in (first, second)] == ["seed 0", "seed 1"]
    counts: list[Any] = [axes.collections[0].get_array() for axes in (first, second)]
    assert counts[0].tolist() == [[0, 20, 40], [0, 0, 0], [5, 5, 5]]  # 80 times the coverage, nothing, five
    assert counts[1].tolist() == [[0, None, None], [0, None, None], [5, None, None]]
    colours: Any = first.collections[0].get_cmap()
    assert to_hex(colours.get_under()) == "#ffffff"
    assert colours.get_bad()[3] == 0  # what lies behind is seen
    assert second.patch.get_hatch() == "////"


def test_the_sentence_tells_the_share_its_interval_and_the_best_trial() -> None:
    """Wilson's interval of 1 of 2: centre 1/2, half width z / 2 / sqrt(2 + z^2) = 0.4055."""
    assert coverage(covered(GOOD, POOR, PRUNED)) == (
        "a: 1 of 2 trials cover all modes in all of their 2 seeds (50%, 95% interval 9% to 91%, "
        "Wilson); the best trial, a-00000, covers 100% (mean of 2 seeds, the worst 100%, the best 100%)."
    )


def test_a_trial_that_diverged_counts_among_those_that_do_not_cover() -> None:
    whole = covered(GOOD, POOR)
    trials = whole.trials.assign(state=["completed", "diverged"])
    assert "1 of 2 trials cover" in coverage(changed(whole, trials=trials))


def test_the_sentence_says_that_a_search_chose_the_trials() -> None:
    assert "trials (chosen by a search for the best) cover" in coverage(covered(GOOD, samplers="tpe"))


def without_modes(results: SpaceResults) -> SpaceResults:
    return changed(results, curves=results.curves.assign(mode_coverage=float("nan")))


def test_the_sentence_says_where_nothing_is_known() -> None:
    assert coverage(covered(DEAD)) == "a: no trial is completed, so none covers all modes to the end."
    unknown = "a: mode coverage is unknown: "
    assert coverage(without_modes(covered(GOOD))) == unknown + "no evaluation has counted them yet."


def test_the_sentence_says_where_the_data_have_no_modes(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32))
    results = without_modes(covered(GOOD, dataset=f"array:{tmp_path / 'points.npy'}"))
    assert coverage(results) == "a: mode coverage is unknown: the data have no modes."
