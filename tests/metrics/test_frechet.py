"""The Fréchet distance, in closed form and against scipy's matrix square root."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from study.metrics.frechet import distance_of_equal_numbers, frechet_distance, moments, varying


def features(n: int, d: int, seed: int) -> Tensor:
    """Correlated features of no special shape."""
    stream = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=stream, dtype=torch.float64)
    shift = torch.randn(d, generator=stream, dtype=torch.float64)
    return torch.randn(n, d, generator=stream, dtype=torch.float64) @ mixing + shift


def with_moments(mean: Tensor, covariance: Tensor) -> Tensor:
    """2 D points whose mean and unbiased covariance are exactly these.

    The points mean +- sqrt((2D - 1)/2) L e_i, with L L^T the covariance, have a sum of squares of
    2 (2D - 1)/2 L L^T, which the unbiased estimate divides by 2D - 1.
    """
    d = len(mean)
    spread = ((2 * d - 1) / 2) ** 0.5 * torch.linalg.cholesky(covariance).T
    return torch.cat([mean + spread, mean - spread])


def test_moments_are_numpys() -> None:
    x = features(50, 4, 0)
    mean, covariance = moments(x.float())
    assert mean.dtype == torch.float64
    np.testing.assert_allclose(mean, x.numpy().mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(x.numpy(), rowvar=False), rtol=1e-5, atol=1e-5)


def test_points_with_given_moments_have_them() -> None:
    mean, covariance = torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    found = moments(with_moments(mean, covariance.double()))
    torch.testing.assert_close(found, (mean, covariance.double()))


def test_commuting_covariances_in_closed_form() -> None:
    # With S1, S2 diagonal in one basis: |m1 - m2|^2 + sum (s1 - s2)^2 over their standard deviations.
    rotation, _ = torch.linalg.qr(features(3, 3, 5))
    first, second = torch.tensor([1.0, 4.0, 9.0]).double(), torch.tensor([16.0, 1.0, 0.25]).double()
    m1, m2 = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([3.0, 1.0, -2.0]).double()
    a = with_moments(m1, rotation @ first.diag() @ rotation.T)
    b = with_moments(m2, rotation @ second.diag() @ rotation.T)
    expected = 9 + 0 + 16 + (1 - 4) ** 2 + (2 - 1) ** 2 + (3 - 0.5) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("d", [2, 16])
def test_any_covariances_as_scipys_square_root_has_it(d: int) -> None:
    a, b = features(200, d, 1), features(300, d, 2)
    s1, s2 = np.cov(a.numpy(), rowvar=False), np.cov(b.numpy(), rowvar=False)
    root = scipy.linalg.sqrtm(s1 @ s2)
    shift = (a.mean(0) - b.mean(0)).square().sum()
    expected = float(shift) + float(np.trace(s1 + s2 - 2 * root.real))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


def test_identical_sets_are_at_distance_zero() -> None:
    x = features(100, 8, 3)
    # Differences of traces of some 100, each rounded at 1e-16 of itself.
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-10)


def test_the_distance_is_symmetric() -> None:
    a, b = features(200, 6, 1), features(300, 6, 2)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-10)


def test_a_shift_costs_its_square() -> None:
    x = features(100, 5, 4)
    shift = torch.tensor([3.0, 0.0, -4.0, 0.0, 12.0]).double()
    assert frechet_distance(x, x + shift) == pytest.approx(9 + 16 + 144, rel=1e-9)


def test_constant_features_have_a_distance() -> None:
    # A collapsed generator: S2 = 0, so |m1 - m2|^2 + tr S1.
    x, point = features(100, 5, 4), torch.ones(10, 5, dtype=torch.float64)
    expected = float((x.mean(0) - 1).square().sum()) + float(np.trace(np.cov(x.numpy(), rowvar=False)))
    assert frechet_distance(x, point) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(point, x) == pytest.approx(expected, rel=1e-9)


def test_fewer_samples_than_features_have_a_distance() -> None:
    # Both covariances are singular. scipy: the trace of the square root from the eigenvalues of S1 S2.
    a, b = features(10, 20, 1), features(12, 20, 2)
    s1, s2 = np.cov(a.numpy(), rowvar=False), np.cov(b.numpy(), rowvar=False)
    root = np.sqrt(np.abs(scipy.linalg.eigvals(s1 @ s2).real)).sum()
    shift = float((a.mean(0) - b.mean(0)).square().sum())
    expected = shift + float(np.trace(s1 + s2)) - 2 * float(root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


def test_it_is_never_negative() -> None:
    x = features(100, 30, 6)
    assert all(frechet_distance(x, x + 1e-9 * k) >= 0 for k in range(20))


def test_as_many_are_compared_on_both_sides() -> None:
    a, b = features(80, 4, 1), features(50, 4, 2)
    expected = frechet_distance(a[:50], b)
    assert distance_of_equal_numbers(a, b) == pytest.approx(expected, rel=1e-12)
    assert distance_of_equal_numbers(b, a) == pytest.approx(expected, rel=1e-9)


def test_features_that_are_the_same_of_all_real_images_are_left_out() -> None:
    a, b = features(60, 4, 1), features(60, 4, 2)
    expected = frechet_distance(a[:, ::2], b[:, ::2])
    a[:, 1::2] = torch.tensor([0.0, 7.3])
    assert varying(a).tolist() == [True, False, True, False]
    assert distance_of_equal_numbers(a, b) == pytest.approx(expected, rel=1e-12)


def test_real_images_that_are_all_the_same_have_a_distance() -> None:
    a, b = torch.ones(20, 3), torch.zeros(20, 3)
    assert distance_of_equal_numbers(a, b) == pytest.approx(3, rel=1e-12)
