"""The Fréchet distance between two Gaussians (Dowson and Landau 1982), as FID takes it of features."""

import torch
from torch import Tensor


class FrechetDistance:
    """Distance of feature sets to one reference set whose moments are computed once."""

    def __init__(self, reference: Tensor) -> None:
        """`reference`: (N, D) features of real samples."""
        self.mean, self.covariance = moments(reference)
        self._root = _square_root(self.covariance)

    def __call__(self, features: Tensor) -> float:
        """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) for (N, D) features; never negative."""
        mean, covariance = moments(features)
        # (S1 S2)^(1/2) has the trace of (S1^(1/2) S2 S1^(1/2))^(1/2), which is symmetric.
        product = self._root @ covariance @ self._root
        trace = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
        distance = (
            (self.mean - mean).square().sum() + self.covariance.trace() + covariance.trace() - 2 * trace
        )
        return max(float(distance), 0.0)


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and unbiased covariance (D, D) in float64 of (N, D) features."""
    features = features.double()
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)


def _square_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
