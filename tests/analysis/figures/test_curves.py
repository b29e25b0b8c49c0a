"""What learning curves show, read back from the figure."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from analysis.figures import curves
from analysis.figures.curves import learning_curves, main
from analysis.figures.style import BLUE, GREY, INK, ORANGE
from analysis.tables import SpaceResults
from study.metrics.judge.floor import Spread
from tests.analysis.made import made

FLOOR: dict[str, Spread] = {"w1": {"mean": 1.0, "std": 0.1}}


def results(**changes: Any) -> SpaceResults:
    """Three trials of two seeds: completed, stopped early, and with a seed that diverges at the end."""
    trials = pd.DataFrame(
        {
            "trial_id": ["a-0", "a-1", "a-2"],
            "state": ["completed", "pruned", "completed"],
            "objective": [5.0, 40.0, 30.0],
        }
    )
    values: dict[str, list[Any]] = {
        "a-0": [(90, 70), (20, 10), (6, 4)],
        "a-1": [(90, 70), (50, 30)],
        "a-2": [(90, 70), (40, 20), (None, 9)],
    }
    rows = pd.DataFrame(
        [
            {"trial_id": trial, "seed": seed, "kimg": 1.5 * k, "w1": value, "diverged": value is None}
            for trial, evaluations in values.items()
            for k, seeds in enumerate(evaluations)
            for seed, value in enumerate(seeds)
        ]
    )
    rows = rows.astype({"w1": "float64"}).assign(**changes)
    runs = pd.DataFrame({"trial_id": ["a-2"], "seed": [0], "diverged_at_kimg": [2.25]})
    return replace(made(np.random.default_rng(0)), trials=trials, runs=runs, curves=rows, floor=FLOOR)


def marks(axes: Axes, marker: str) -> list[list[float]]:
    found = [line for line in axes.lines if line.get_marker() == marker and line.get_linestyle() == "None"]
    return [point for line in found for point in np.asarray(line.get_xydata()).tolist()]


def test_a_curve_is_the_mean_of_its_seeds_in_the_colour_of_its_fate() -> None:
    (axes,) = learning_curves(results()).axes
    drawn = {
        to_hex(line.get_color()): np.asarray(line.get_xydata()).tolist()
        for line in axes.lines
        if line.get_marker() == "o"
    }
    assert drawn == {
        BLUE: [[0, 80], [1.5, 15], [3, 5]],
        GREY: [[0, 80], [1.5, 40]],
        ORANGE: [[0, 80], [1.5, 30]],  # not the seed that is left
    }
    assert (axes.get_yscale(), axes.get_ylabel()) == ("log", "w1")


def test_a_cross_stands_where_a_seed_diverged_and_a_bar_where_a_trial_was_stopped() -> None:
    (axes,) = learning_curves(results()).axes
    assert marks(axes, "X") == [[2.25, 40.0]]  # when it did, at the seed's own last value
    assert marks(axes, "|") == [[1.5, 40.0]]  # the mean of a-1
    assert INK in {to_hex(line.get_color()) for line in axes.lines if line.get_marker() == "|"}


def test_what_real_data_score_is_a_line() -> None:
    (axes,) = learning_curves(results()).axes
    assert axes.lines[-1].get_ydata() == [1.0, 1.0]


def test_bands_go_from_the_worst_seed_to_the_best() -> None:
    (axes,) = learning_curves(results()).axes
    corners = axes.collections[0].get_paths()[0].vertices
    assert {(1.5, 30.0), (1.5, 50.0)} <= {tuple(corner) for corner in np.asarray(corners).tolist()}


def test_modes_are_drawn_beside_where_there_are_any() -> None:
    figure = learning_curves(results(modes_covered=7.0))
    assert [axes.get_ylabel() for axes in figure.axes] == ["w1", "modes_covered"]


def test_a_study_without_a_completed_trial_has_no_best() -> None:
    all_stopped = results().trials.assign(state="pruned")
    (axes,) = learning_curves(replace(results(), trials=all_stopped)).axes
    assert BLUE not in {to_hex(line.get_color()) for line in axes.lines}


def test_of_many_trials_some_are_drawn_from_the_best_to_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST", 3)
    many = made(np.random.default_rng(0), trials=9)
    ranked = many.trials.sort_values("objective")["trial_id"].tolist()
    assert curves.drawn(many) == [ranked[8], ranked[4], ranked[0]]


def test_the_command_says_what_is_no_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / "absent"), "x.png"])
    assert "absent" in capsys.readouterr().err


def test_the_command_writes_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "load", lambda _: [results()])
    assert main([str(tmp_path), str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
