"""Mode coverage and reverse KL, for histograms small enough to do by hand."""

import math

import pytest
import torch
from torch import Tensor

from study.data import DATASETS, Dataset
from study.metrics import METRICS, default_metric, metrics_for
from study.metrics.modes import Modes


def figures_of(counts: Tensor, covered: Tensor, real_shares: Tensor) -> dict[str, float]:
    modes = Modes(counts, covered, real_shares, close=torch.ones(int(counts.sum()), dtype=torch.bool))
    return {name: METRICS[name].compute(modes) for name in ("modes_covered", "mode_coverage", "mode_kl")}


def uniform(modes: int) -> Tensor:
    return torch.full((modes,), 1 / modes)


def test_an_even_histogram_has_no_divergence() -> None:
    counts = torch.tensor([5, 5, 5, 5])
    assert figures_of(counts, counts > 0, uniform(4)) == {
        "modes_covered": 4,
        "mode_coverage": 1.0,
        "mode_kl": 0.0,
    }


@pytest.mark.parametrize("modes", [2, 8, 25])
def test_collapse_to_one_mode_gives_the_log_of_their_number(modes: int) -> None:
    # One term remains: 1 log(1 / (1/K)) = log K.
    counts = torch.zeros(modes, dtype=torch.int64)
    counts[1] = 100
    figures = figures_of(counts, counts > 0, uniform(modes))
    assert figures["mode_kl"] == pytest.approx(math.log(modes), rel=1e-6)
    assert (figures["modes_covered"], figures["mode_coverage"]) == (1, 1 / modes)


def test_divergence_of_hand_histograms() -> None:
    # (3/4, 1/4, 0) against thirds: 3/4 log(9/4) + 1/4 log(3/4) + 0.
    figures = figures_of(torch.tensor([3, 1, 0]), torch.tensor([True] * 3), uniform(3))
    expected = 0.75 * math.log(2.25) + 0.25 * math.log(0.75)
    assert figures["mode_kl"] == pytest.approx(expected, rel=1e-6)
    # (1/2, 1/2) against (1/4, 3/4): 1/2 log 2 + 1/2 log(2/3).
    figures = figures_of(torch.tensor([2, 2]), torch.tensor([True] * 2), torch.tensor([0.25, 0.75]))
    assert figures["mode_kl"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3), rel=1e-6)


def test_it_is_the_reverse_divergence() -> None:
    # KL(p || r) of a missing mode is finite; KL(r || p) would be infinite.
    figures = figures_of(torch.tensor([4, 0]), torch.tensor([True, False]), uniform(2))
    assert figures["mode_kl"] == pytest.approx(math.log(2), rel=1e-6)


def test_coverage_counts_where_good_samples_landed_and_not_where_any_did() -> None:
    figures = figures_of(torch.tensor([5, 5, 5, 5]), torch.tensor([True, False, True, True]), uniform(4))
    assert (figures["modes_covered"], figures["mode_coverage"]) == (3, 0.75)
    assert figures["mode_kl"] == 0


def test_a_perfect_sampler_has_the_stated_divergence() -> None:
    # 2 N KL is about chi-squared with K - 1 = 7 degrees: mean 7, standard deviation sqrt(14). The
    # mean of 400 of them has standard error 0.19.
    stream = torch.Generator().manual_seed(0)
    values = []
    for _ in range(400):
        counts = torch.bincount(torch.randint(8, (2500,), generator=stream), minlength=8)
        values.append(2 * 2500 * figures_of(counts, counts > 0, uniform(8))["mode_kl"])
    assert sum(values) / 400 == pytest.approx(7, abs=5 * 0.19)


def test_every_dataset_has_a_default_metric() -> None:
    of_kind = {name: d.kind for name, d in DATASETS.items() if isinstance(d, Dataset)}
    expected = {"images": "fd", "points": "w1"}
    assert {name: default_metric(name) for name in of_kind} == {n: expected[k] for n, k in of_kind.items()}


def test_metrics_have_a_direction() -> None:
    better = {name for name, metric in METRICS.items() if metric.higher_is_better}
    assert better == {"improved_precision", "modes_covered", "mode_coverage", "hq"}


def test_a_datasets_metrics_begin_with_what_it_is_judged_by() -> None:
    assert metrics_for("digits") == ["fd", "improved_precision", "modes_covered", "mode_coverage", "mode_kl"]
    assert metrics_for("ring8") == ["w1", "modes_covered", "mode_coverage", "mode_kl", "hq"]
