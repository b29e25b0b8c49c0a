"""The Fréchet distance between two Gaussians (Dowson and Landau 1982), as FID takes it of features."""

from typing import TYPE_CHECKING

from study.metrics.declaration import metric

if TYPE_CHECKING:
    from torch import Tensor


@metric(
    samples={"images": 1000},
    higher_is_better=False,
    is_default=True,
    meaning="Fréchet distance to held-out images, to as many as there are of each, in those features of a "
    "classifier trained on the data set that vary between them (so not comparable with Inception's FID)",
)
def fd(features: "Tensor", held_out_features: "Tensor") -> float:
    return distance_of_equal_numbers(held_out_features.cpu(), features.cpu())


@metric(
    samples={"images": 1000},
    higher_is_better=False,
    is_default=True,
    meaning="Fréchet distance to held-out images without labels, in principal components of the training "
    "pixels (comparable with no other fd)",
)
def fd_pca(components: "Tensor", held_out_components: "Tensor") -> float:
    return distance_of_equal_numbers(held_out_components.cpu(), components.cpu())


def distance_of_equal_numbers(reference: "Tensor", features: "Tensor") -> float:
    """`frechet_distance` of the first n of each, in the features that vary; n: as many as both have.

    Its bias depends on the numbers compared, and features that are constant add nothing but rounding.
    """
    n, kept = min(len(reference), len(features)), varying(reference)
    return frechet_distance(reference[:n, kept], features[:n, kept])


def varying(reference: "Tensor") -> "Tensor":
    """(H, D) -> (D,) bool, which features are not the same for all; all of them where none is."""
    found = (reference != reference[0]).any(0)
    return found if found.any() else ~found


def frechet_distance(reference: "Tensor", features: "Tensor") -> float:
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) of (N, D) and (L, D); never negative."""
    from torch.linalg import eigh, eigvalsh

    (mean, covariance), (other_mean, other_covariance) = moments(reference), moments(features)
    values, vectors = eigh(covariance)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    # (S1 S2)^(1/2) has the trace of (S1^(1/2) S2 S1^(1/2))^(1/2), which is symmetric.
    trace = eigvalsh(root @ other_covariance @ root).clamp(min=0).sqrt().sum()
    distance = (other_mean - mean).square().sum() + covariance.trace() + other_covariance.trace() - 2 * trace
    return max(float(distance), 0.0)


def moments(features: "Tensor") -> tuple["Tensor", "Tensor"]:
    """Mean (D,) and unbiased covariance (D, D) in float64 of (N, D) features."""
    features = features.double()
    mean = features.mean(0)
    centred = features - mean
    return mean, centred.T @ centred / (len(features) - 1)
