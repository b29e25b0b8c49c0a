"""Metrics of points, with samplers whose figures are known."""

import math
from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance
from torch import Tensor

from study.data import load
from study.data.arrays import Arrays
from study.metrics import METRICS, metrics_for
from study.metrics.judge.evaluator import evaluator_for
from study.metrics.modes import modes_of_points
from study.metrics.transport import exact_w1

CPU = torch.device("cpu")
MIXTURES = ["ring8", "grid25"]


def perfect(dataset: Arrays, n: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """A sampler that knows the mixture; `scale` 0.5 has half its spread."""
    assert dataset.centres is not None
    assert dataset.std is not None
    stream = torch.Generator().manual_seed(seed)
    mode = torch.randint(len(dataset.centres), (n,), generator=stream)
    noise = torch.randn(n, 2, generator=stream)
    return dataset.centres[mode] + scale * dataset.std * noise


def figures_of(dataset: Arrays, points: Tensor) -> dict[str, float]:
    """All metrics of points, however many there are."""
    assert dataset.centres is not None
    assert dataset.std is not None
    modes = modes_of_points(points, dataset.centres, dataset.std)
    figures = {name: METRICS[name].compute(modes) for name in metrics_for("ring8") if name != "w1"}
    return {**figures, "w1": METRICS["w1"].compute(points[:1000], dataset.held_out)}


def cloud(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("name", MIXTURES)
def test_a_perfect_sampler_has_the_share_of_a_gaussian_within_three_stds(name: str) -> None:
    # The distance from the centre of a 2-D Gaussian is Rayleigh: 1 - exp(-3^2 / 2) = 0.98889 within.
    dataset, n = load(name, CPU), 100_000
    share = 1 - math.exp(-4.5)
    error = math.sqrt(share * (1 - share) / n)
    hq = figures_of(dataset, perfect(dataset, n))["hq"]
    assert hq == pytest.approx(share, abs=4 * error)


@pytest.mark.parametrize("name", MIXTURES)
def test_half_the_spread_shows_as_too_much_quality(name: str) -> None:
    # 1 - exp(-6^2 / 2): all but 2e-8.
    dataset = load(name, CPU)
    assert figures_of(dataset, perfect(dataset, 10_000, scale=0.5))["hq"] == 1.0


@pytest.mark.parametrize("name", MIXTURES)
def test_a_perfect_sampler_covers_every_mode_evenly(name: str) -> None:
    dataset, n = load(name, CPU), 2500
    figures = figures_of(dataset, perfect(dataset, n))
    assert dataset.centres is not None
    assert figures["modes_covered"] == len(dataset.centres)
    assert figures["mode_coverage"] == 1
    # 2 n KL is about chi-squared with K - 1 degrees of freedom.
    degrees = len(dataset.centres) - 1
    assert abs(2 * n * figures["mode_kl"] - degrees) < 5 * math.sqrt(2 * degrees)


@pytest.mark.parametrize("name", MIXTURES)
def test_quality_ends_at_three_stds(name: str) -> None:
    dataset = load(name, CPU)
    assert dataset.centres is not None
    assert dataset.std is not None
    direction = torch.tensor([0.6, 0.8])
    for stds, expected in ((2.99, 1.0), (3.01, 0.0)):
        points = dataset.centres + stds * dataset.std * direction
        figures = figures_of(dataset, points.repeat(10, 1))
        assert figures["hq"] == expected
        assert figures["modes_covered"] == expected * len(dataset.centres)


def test_a_mode_counts_with_a_single_good_sample() -> None:
    dataset = load("ring8", CPU)
    assert dataset.centres is not None
    points = dataset.centres[0].repeat(500, 1)
    points[7] = dataset.centres[3]
    figures = figures_of(dataset, points)
    assert (figures["modes_covered"], figures["mode_coverage"], figures["hq"]) == (2, 0.25, 1.0)


def test_samples_between_modes_land_on_none() -> None:
    dataset = load("grid25", CPU)
    figures = figures_of(dataset, torch.ones(100, 2))  # the middle of a cell of side 2
    assert (figures["modes_covered"], figures["hq"]) == (0, 0.0)


def test_samples_between_modes_do_not_hide_a_collapse() -> None:
    # As many near every mode, 3 standard deviations and more away, and one on a mode: log(1 / (1/25)).
    dataset = load("grid25", CPU)
    assert dataset.centres is not None
    points = torch.cat([(dataset.centres + 0.5).repeat(10, 1), dataset.centres[:1]])
    assert figures_of(dataset, points)["mode_kl"] == pytest.approx(math.log(25), rel=1e-6)


def test_collapse_to_one_mode() -> None:
    dataset = load("ring8", CPU)
    assert dataset.centres is not None
    figures = figures_of(dataset, dataset.centres[2].repeat(200, 1))
    assert figures["mode_kl"] == pytest.approx(math.log(8), rel=1e-6)
    assert figures["modes_covered"] == 1


def test_a_translation_costs_its_length() -> None:
    # No plan is cheaper: the mean has to move by t, and |.| is convex (Jensen). Moving each by t is one.
    a = cloud(300, 2, 0)
    assert exact_w1(a, a + np.array([3.0, -4.0])) == pytest.approx(5, rel=1e-9)


def test_no_translation_costs_nothing() -> None:
    a = cloud(300, 2, 0)
    # The costs |a|^2 + |b|^2 - 2ab are rounded at 1e-16, their roots at 1e-8.
    assert exact_w1(a, a[::-1].copy()) == pytest.approx(0, abs=1e-7)


def test_on_a_line_it_is_scipys_distance() -> None:
    a, b = cloud(200, 1, 0)[:, 0], 2 * cloud(300, 1, 1)[:, 0] + 1
    direction = np.array([[0.6, 0.8]])
    ours = exact_w1(a[:, None] * direction, b[:, None] * direction)
    assert ours == pytest.approx(wasserstein_distance(a, b), rel=1e-9)


def test_of_equal_numbers_it_is_the_best_assignment() -> None:
    a, b = cloud(150, 2, 0), 0.5 * cloud(150, 2, 1) + 1
    cost = np.linalg.norm(a[:, None] - b[None], axis=2)
    expected = cost[linear_sum_assignment(cost)].mean()
    assert exact_w1(a, b) == pytest.approx(float(expected), rel=1e-9)


def test_one_point_is_at_its_mean_distance() -> None:
    b = np.array([[3.0, 4.0], [0.0, 1.0], [5.0, 12.0]])
    assert exact_w1(np.zeros((1, 2)), b) == pytest.approx((5 + 1 + 13) / 3, rel=1e-12)


def test_w1_of_a_set_is_its_distance_to_the_first_held_out_points() -> None:
    dataset = load("ring8", CPU)
    assert figures_of(dataset, dataset.held_out[:1000])["w1"] == pytest.approx(0, abs=1e-7)
    shift = torch.tensor([0.3, 0.4])
    assert figures_of(dataset, dataset.held_out[:2000] + shift)["w1"] == pytest.approx(0.5, abs=1e-6)


def test_huge_points_have_figures() -> None:
    dataset = load("ring8", CPU)
    figures = figures_of(dataset, torch.full((50, 2), 1e30))
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["w1"] == pytest.approx(math.sqrt(2) * 1e30, rel=1e-3)


@pytest.mark.parametrize("name", MIXTURES)
def test_the_evaluators_floor_is_of_fresh_samples_of_the_mixture(name: str) -> None:
    evaluator = evaluator_for(name, CPU)
    dataset = load(name, CPU)
    assert list(evaluator.floor) == metrics_for("ring8")
    assert evaluator.floor["mode_coverage"] == {"mean": 1, "std": 0}
    # 20 independent draws of 2,500: the share of good ones is binomial in each.
    share = 1 - math.exp(-4.5)
    error = math.sqrt(share * (1 - share) / evaluator.samples)
    assert evaluator.floor["hq"]["mean"] == pytest.approx(share, abs=5 * error / math.sqrt(20))
    # A spread from 20 numbers has a standard error of 1/sqrt(38) of it.
    assert evaluator.floor["hq"]["std"] == pytest.approx(error, rel=4 / math.sqrt(38))
    # The same of other draws, by this file's own sampler.
    own = [METRICS["w1"].compute(perfect(dataset, 1000, seed), dataset.held_out) for seed in range(10)]
    scatter = evaluator.floor["w1"]["std"] * math.sqrt(1 / 20 + 1 / 10)
    assert evaluator.floor["w1"]["mean"] == pytest.approx(np.mean(own), abs=4 * scatter)
    assert evaluator.facts() == {"floor": evaluator.floor}  # nobody judges points


def test_a_reference_with_equal_modes_steadies_w1() -> None:
    """What perfect samplers of grid25 pay is for the modes' numbers: points of a mode are 40 times as near.

    So it is nearly the transport between histograms of 25 modes, which is cheap: 0.18, give or take 0.04, to
    equal numbers; 0.26 +- 0.06 to those of 1,000 random points.
    """
    dataset, rng = load("grid25", CPU), np.random.default_rng(0)
    assert dataset.centres is not None
    centres = dataset.centres.double().numpy()
    cost = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    nearest = torch.cdist(dataset.held_out[:1000], dataset.centres).argmin(1)
    reference = np.bincount(nearest.numpy(), minlength=25) / 1000
    samplers, others = rng.multinomial(1000, [1 / 25] * 25, size=(2, 500)) / 1000
    held_out = [ot.emd2(own, reference, cost) for own in samplers]
    random = [ot.emd2(own, other, cost) for own, other in zip(samplers, others, strict=True)]
    # Of 500 numbers the spread has a standard error of 3%.
    assert np.std(held_out) < 0.8 * np.std(random)
    assert np.mean(held_out) < 0.8 * np.mean(random)


def test_figures_do_not_depend_on_the_order_of_the_modes() -> None:
    dataset = load("ring8", CPU)
    assert dataset.centres is not None
    turned = replace(dataset, centres=dataset.centres.flip(0))
    points = perfect(dataset, 1000)
    a, b = figures_of(dataset, points), figures_of(turned, points)
    assert a == pytest.approx(b, rel=1e-9)
