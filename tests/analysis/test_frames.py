"""Samples in figures: the right seed's, at the right kimg, of those trials that kept them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.chart import Chart
from analysis.figures.samples import TILES
from analysis.frames import frames, moments, nearest
from analysis.sections.samples import samples
from analysis.tables import SpaceResults
from tests.analysis.covered import Trial, changed, covered

CENTRES = np.array([[1.0, 0.0], [-1.0, 0.0]], dtype=np.float32)
MODES = {"centres": CENTRES, "std": np.float32(0.1)}
BEST: Trial = ("completed", [[0.0, 0.5, 0.5], [0.0, 1.0, 1.0], [0.0, 0.25, 0.75]])
OTHER: Trial = ("completed", [[0.0, 0.25, 0.25], [0.0, 0.25, None], [0.0, 0.25, 0.5]])


def keep(results: SpaceResults, trial: str, evaluation: int, array: np.ndarray, **more: Any) -> Path:
    folder = results.folder / "trials" / trial / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{evaluation:04d}.npz"
    np.savez(path, samples=array, **more)
    return path


def points(evaluation: int) -> np.ndarray:
    """Of each of three seeds two points, at (seed, evaluation) / 10."""
    return np.array([[[seed / 10, evaluation / 10]] * 2 for seed in range(3)], dtype=np.float32)


@pytest.fixture
def results(tmp_path: Path) -> SpaceResults:
    """Two trials with points at each of three evaluations."""
    found = covered(BEST, OTHER, folder=tmp_path, seeds=3)
    for trial in ("a-00000", "a-00001"):
        for evaluation in range(3):
            keep(found, trial, evaluation, points(evaluation), **MODES)
    return found


def drawn(results: SpaceResults) -> list[Chart]:
    return list(samples(results))


def test_a_frame_is_one_seed_at_one_evaluation(results: SpaceResults) -> None:
    (frame,) = frames(results, "a-00000", [2], [1])
    assert (frame.seed, frame.evaluation, frame.kimg, frame.coverage) == (2, 1, 1.01, 0.25)
    np.testing.assert_allclose(frame.samples, [[0.2, 0.1]] * 2)


def test_moments_are_spread_from_the_first_to_the_last(results: SpaceResults) -> None:
    assert moments(results, "a-00000", 2) == [0, 2]
    assert moments(results, "a-00000", 9) == [0, 1, 2]
    assert moments(results, "a-00009") == []


def test_what_is_of_other_seeds_is_left_out_and_what_is_damaged_is_said(results: SpaceResults) -> None:
    keep(results, "a-00000", 2, points(2)[:1], **MODES)  # of one seed only
    assert [frame.evaluation for frame in frames(results, "a-00000", [0], [0, 1, 2])] == [0, 1]
    keep(results, "a-00000", 1, points(1), **MODES).write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged"):
        frames(results, "a-00000", [0], [0, 1, 2])


def test_of_evaluations_that_a_trial_lacks_the_next_ones_are_taken(results: SpaceResults) -> None:
    for path in results.folder.glob("trials/a-00000/samples/0001.npz"):
        path.unlink()
    assert nearest(results, "a-00000", [0, 1, 2]) == [0, 2]
    assert nearest(results, "a-00009", [0, 1, 2]) == []


def test_the_best_trials_extreme_seeds_are_drawn_over_the_modes(results: SpaceResults) -> None:
    (chart,) = drawn(results)
    grid = chart.figure.axes
    assert [axes.get_ylabel() for axes in grid[::3]] == ["best, seed 1", "best, seed 0"]
    assert [axes.get_title() for axes in grid[:3]] == [
        "kimg 0\n0% of modes",
        "kimg 1.01\n100% of modes",
        "kimg 2.01\n100% of modes",
    ]
    np.testing.assert_allclose(
        np.asarray(grid[5].lines[-1].get_xydata()), [[0.0, 0.2]] * 2
    )  # seed 0, evaluation 2
    circles = [path.get_extents().width for path in grid[0].collections[0].get_paths()]
    assert circles == pytest.approx([0.6, 0.6])  # 3 standard deviations to each side


def test_the_default_stands_below_the_best(results: SpaceResults) -> None:
    trials = results.trials.assign(origin=["startup", "default"])
    (chart,) = drawn(changed(results, trials=trials))
    labels = [axes.get_ylabel() for axes in chart.figure.axes[::3]]
    assert labels == ["best, seed 1", "best, seed 0", "default, seed 2", "default, seed 1"]
    assert "a-00001, the paper's default" in chart.caption


def test_a_seed_that_diverged_is_said_to_have(results: SpaceResults) -> None:
    keep(results, "a-00000", 2, np.full((3, 2, 2), np.nan, dtype=np.float32), **MODES)
    (chart,) = drawn(results)
    assert [axes.texts[0].get_text() for axes in chart.figure.axes[:3]] == ["", "", "diverged"]


def test_samples_beyond_the_frame_are_counted(results: SpaceResults) -> None:
    """The frame reaches to 1.5 times the outermost mode."""
    far = points(0)
    far[:, 0] = (1.4, 1.6)
    keep(results, "a-00000", 0, far, **MODES)
    (chart,) = drawn(results)
    assert chart.figure.axes[0].texts[0].get_text() == "50% outside"


def test_images_are_drawn_in_a_grid(results: SpaceResults) -> None:
    """Image n of a seed is of value n throughout, with a white line between images."""
    images = np.arange(32, dtype=np.uint8)[None, :, None, None, None] * np.ones(
        (3, 1, 1, 4, 4), dtype=np.uint8
    )
    for evaluation in range(3):
        keep(results, "a-00000", evaluation, images)
    (chart,) = drawn(results)
    grid = np.asarray(chart.figure.axes[0].images[0].get_array())
    assert grid.shape == (TILES * 5 - 1, TILES * 5 - 1, 3)
    assert grid[::5, ::5, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]]
    assert (grid[4] == 255).all()


def test_colours_stay_colours(results: SpaceResults) -> None:
    red = np.zeros((3, 32, 3, 4, 4), dtype=np.uint8)
    red[:, :, 0] = 200
    keep(results, "a-00000", 0, red)
    (chart,) = drawn(results)
    assert np.asarray(chart.figure.axes[0].images[0].get_array())[0, 0].tolist() == [200, 0, 0]


@pytest.mark.parametrize("dimension", [1, 2])
def test_points_without_known_modes_are_drawn_over_real_ones(dimension: int, results: SpaceResults) -> None:
    for evaluation in range(3):
        keep(results, "a-00000", evaluation, points(evaluation)[..., :dimension], real=CENTRES[:, :dimension])
    (chart,) = drawn(results)
    assert "real points" in chart.caption
    assert len(np.asarray(chart.figure.axes[0].lines[0].get_xydata())) == 2


def test_without_arrays_or_a_best_trial_there_is_no_chart(results: SpaceResults, tmp_path: Path) -> None:
    assert drawn(changed(results, folder=tmp_path / "tables only")) == []
    assert drawn(changed(results, trials=results.trials.assign(state="pruned"))) == []
