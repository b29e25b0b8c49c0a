"""Balls around real samples, by hand and against a loop over pairs."""

import numpy as np
import pytest
import torch
from torch import Tensor

from study.metrics import METRICS, manifold
from study.metrics.manifold import ball_radii, in_balls


def cloud(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_a_balls_radius_is_the_distance_to_the_fifth_nearest_other_point() -> None:
    # At 0 1 2 3 4 5 6 on a line: of 0 the others are 1 to 6 away, of 3 twice 1, 2 and 3.
    line = torch.arange(7.0)[:, None]
    assert ball_radii(line).tolist() == pytest.approx([5, 4, 3, 3, 3, 4, 5])


def test_of_few_points_it_is_the_distance_to_the_farthest() -> None:
    assert ball_radii(torch.tensor([[0.0], [1.0], [3.0]])).tolist() == pytest.approx([3, 2, 3])


def test_a_ball_holds_its_surface_and_no_more() -> None:
    real, radii = torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([5.0, 1.0])
    samples = torch.tensor([[3.0, 4.0], [3.0, 4.1], [9.5, 0.5], [8.9, 0.0]])
    assert in_balls(samples, real, radii).tolist() == [True, False, True, False]


def test_balls_are_those_of_a_loop_over_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifold, "PART", 17)  # so that parts are joined
    real, samples = cloud(60, 3, 0), 2 * cloud(100, 3, 1)
    radii = [sorted(float(np.linalg.norm(a - b)) for b in real.numpy())[5] for a in real.numpy()]
    assert ball_radii(real).tolist() == pytest.approx(radii, rel=1e-5)
    inside = [
        any(np.linalg.norm(sample - a) <= radius for a, radius in zip(real.numpy(), radii, strict=True))
        for sample in samples.numpy()
    ]
    assert in_balls(samples, real, ball_radii(real)).tolist() == inside
    assert 20 < sum(inside) < 80


def test_real_points_lie_in_balls_of_their_own() -> None:
    real = cloud(300, 64, 0)
    assert in_balls(real, real, ball_radii(real)).all()


def test_precision_is_the_share_inside() -> None:
    assert METRICS["improved_precision"].compute(torch.tensor([True, False, True, True])) == 0.75
