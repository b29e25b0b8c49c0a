"""What learning curves show, read back from the figure."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analysis.figures.curves import BLUE, GREY, ORANGE, learning_curves, main
from study.metrics.judge.floor import Spread

FLOOR: dict[str, Spread] = {"fd": {"mean": 1.0, "std": 0.1}, "modes_covered": {"mean": 10.0, "std": 0.0}}


def tables(**changes: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three trials of two seeds: completed, stopped early, and with a seed that diverges at the end."""
    trials = pd.DataFrame(
        {
            "trial_id": ["a-0", "a-1", "a-2"],
            "state": ["completed", "pruned", "completed"],
            "objective": [5.0, 40.0, 30.0],
            "metric": "fd",
            "n_seeds": 2,
            "dataset": "digits",
        }
    )
    values: dict[str, list[Any]] = {
        "a-0": [(90, 70), (20, 10), (6, 4)],
        "a-1": [(90, 70), (50, 30)],
        "a-2": [(90, 70), (40, 20), (None, 9)],
    }
    rows = [
        {
            "trial_id": trial,
            "seed": seed,
            "evaluation": k,
            "kimg": 1.5 * k,
            "fd": value,
            "diverged": value is None,
        }
        for trial, evaluations in values.items()
        for k, seeds in enumerate(evaluations)
        for seed, value in enumerate(seeds)
    ]
    return trials, pd.DataFrame(rows).astype({"fd": "float64"}).assign(**changes)


def test_a_curve_is_the_mean_of_its_seeds_in_the_colour_of_its_fate() -> None:
    (axes,) = learning_curves(*tables(), FLOOR).axes
    curves = {to_hex(line.get_color()): np.asarray(line.get_xydata()).tolist() for line in axes.lines[:3]}
    assert curves == {
        BLUE: [[0, 80], [1.5, 15], [3, 5]],
        GREY: [[0, 80], [1.5, 40]],
        ORANGE: [[0, 80], [1.5, 30]],  # not the seed that is left
    }
    assert axes.lines[3].get_ydata() == [1.0, 1.0]  # real data
    assert (axes.get_yscale(), axes.get_ylabel()) == ("log", "fd")


def test_bands_go_from_the_worst_seed_to_the_best() -> None:
    (axes,) = learning_curves(*tables(), FLOOR).axes
    corners = axes.collections[0].get_paths()[0].vertices
    assert {(1.5, 30.0), (1.5, 50.0)} <= {tuple(corner) for corner in np.asarray(corners).tolist()}


def test_modes_are_drawn_beside_where_there_are_any() -> None:
    figure = learning_curves(*tables(modes_covered=7.0), FLOOR)
    assert [axes.get_ylabel() for axes in figure.axes] == ["fd", "modes covered"]


def test_a_study_without_a_completed_trial_has_no_best() -> None:
    trials, curves = tables()
    (axes,) = learning_curves(trials.assign(state="pruned"), curves, FLOOR).axes
    assert BLUE not in {to_hex(line.get_color()) for line in axes.lines}


def test_the_command_writes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, table in zip(("trials", "curves"), tables(), strict=True):
        table.to_parquet(tmp_path / f"{name}.parquet")
    assert main([str(tmp_path), str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(SystemExit):
        main([str(tmp_path / "absent"), "x.png"])
    assert "trials.parquet is missing" in capsys.readouterr().err
