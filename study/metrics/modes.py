"""Mode coverage: how many modes samples reach, how evenly, and how many samples lie on one.

For points the protocol is PacGAN's (Lin et al. 2018); for images modes are classes that a judge predicts.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.metrics.declaration import metric

if TYPE_CHECKING:
    from torch import Tensor

HIGH_QUALITY_STDS = 3.0
COVERED_SHARE = 0.1
SAMPLES = {"images": 1000, "points": 2500}


@dataclass(frozen=True)
class Modes:
    """What n samples have to do with K modes.

    Attributes:
        counts: (K,) samples assigned to each mode.
        covered: (K,) bool, whether the mode counts as covered.
        real_shares: (K,) share of each mode in the real data; uniform for the mixtures.
        close: (n,) bool, whether the sample is within 3 standard deviations of a mode; None for images.
    """

    counts: "Tensor"
    covered: "Tensor"
    real_shares: "Tensor"
    close: "Tensor | None" = None


def modes_of_points(points: "Tensor", centres: "Tensor", std: float) -> Modes:
    """Finite (n, D) points, (K, D) centres: every point belongs to its nearest mode.

    A mode is covered when at least one point lies within 3 std of it.
    """
    import torch

    # Not by matrix multiplication, which would lose the digits that 3 std of 0.01 need.
    distances = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.min(dim=1)
    mode = nearest.indices.cpu()
    close = (nearest.values <= HIGH_QUALITY_STDS * std).cpu()
    modes = len(centres)
    counts = torch.bincount(mode, minlength=modes)
    landed = torch.bincount(mode[close], minlength=modes) > 0
    return Modes(counts, landed, torch.full((modes,), 1 / modes), close)


def modes_of_images(logits: "Tensor", labels: "Tensor") -> Modes:
    """Class logits (n, K) of samples, classes (N,) of the training images.

    A class is covered when it is predicted at least a tenth as often as it occurs in the training images:
    of 1,000 samples of noise, single ones fall into most classes.
    """
    import torch

    modes = logits.shape[1]
    shares = torch.bincount(labels.cpu(), minlength=modes) / len(labels)
    counts = torch.bincount(logits.argmax(1).cpu(), minlength=modes)
    return Modes(counts, counts >= COVERED_SHARE * shares * len(logits), shares)


@metric(
    samples=SAMPLES,
    higher_is_better=True,
    worst=0.0,
    counts=True,
    meaning="modes reached: classes predicted at least a tenth as often as they occur in real images; "
    "modes with at least one point within 3 standard deviations",
)
def modes_covered(modes: Modes) -> int:
    return int(modes.covered.sum())


@metric(
    samples=SAMPLES,
    higher_is_better=True,
    worst=0.0,
    meaning="modes reached, as a fraction of all modes",
)
def mode_coverage(modes: Modes) -> float:
    return int(modes.covered.sum()) / len(modes.counts)


@metric(
    samples=SAMPLES,
    higher_is_better=False,
    meaning="KL of the mode histogram of the samples against the real one, in nats",
)
def mode_kl(modes: Modes) -> float:
    """sum_k p_k log(p_k / r_k), with 0 log 0 = 0; a perfect sampler of n has about (K - 1) / (2 n)."""
    import torch

    p = modes.counts.double() / modes.counts.sum()
    r = modes.real_shares.double()
    return float(torch.where(p > 0, p * (p / r).log(), 0.0).sum())


@metric(
    samples={"points": 2500},
    higher_is_better=True,
    worst=0.0,
    meaning="share of points within 3 standard deviations of a mode; 98.89% for a perfect sampler",
)
def hq(modes: Modes) -> float | None:
    return None if modes.close is None else float(modes.close.double().mean())
