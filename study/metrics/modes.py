"""Mode coverage: how many modes samples reach, how evenly, and how many samples lie on one.

A sample counts for a mode only where it lies on it: a point within 3 standard deviations of its nearest
mode, as in PacGAN (Lin et al. 2018); an image, for the class that a judge predicts, on the real manifold, as
it is around typical images.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.metrics.declaration import metric

if TYPE_CHECKING:
    from torch import Tensor

HIGH_QUALITY_STDS = 3.0
COVERED_SHARE = 0.05  # of a class's share of real images
SAMPLES = {"images": 1000, "points": 2500}


@dataclass(frozen=True)
class Modes:
    """What n samples have to do with K modes.

    Attributes:
        counts: (K,) samples that lie on each mode.
        covered: (K,) bool, whether the mode counts as covered.
        real_shares: (K,) share of each mode in the real data; uniform for the mixtures.
        close: (n,) bool, whether the sample lies on a mode.
    """

    counts: "Tensor"
    covered: "Tensor"
    real_shares: "Tensor"
    close: "Tensor"


def modes_of_points(points: "Tensor", centres: "Tensor", std: float) -> Modes:
    """Finite (n, D) points, (K, D) centres: a point lies on its nearest mode within 3 std of it.

    A mode is covered when at least one point lies on it.
    """
    import torch

    # Not by matrix multiplication, which would lose the digits that 3 std of 0.01 need.
    distances = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distances.min(dim=1)
    mode = nearest.indices.cpu()
    close = (nearest.values <= HIGH_QUALITY_STDS * std).cpu()
    modes = len(centres)
    counts = torch.bincount(mode[close], minlength=modes)
    return Modes(counts, counts > 0, torch.full((modes,), 1 / modes), close)


def modes_of_images(logits: "Tensor", on_manifold: "Tensor", labels: "Tensor") -> Modes:
    """Class logits (n, K) of samples, whether they are on the real manifold (n,), classes (N,) of training.

    A class is covered when samples lie on it at least a twentieth as often as training images are of it: of
    1,000 samples of noise, single ones may be on the manifold.
    """
    import torch

    modes = logits.shape[1]
    shares = torch.bincount(labels.cpu(), minlength=modes) / len(labels)
    close = on_manifold.cpu()
    counts = torch.bincount(logits.argmax(1).cpu()[close], minlength=modes)
    return Modes(counts, counts >= COVERED_SHARE * shares * len(logits), shares, close)


@metric(
    samples=SAMPLES,
    higher_is_better=True,
    worst=0.0,
    counts=True,
    meaning="modes reached: classes of images on the real manifold (as for improved_precision, but without "
    "the largest quarter of the balls, those of outliers), at least a twentieth as often as in real "
    "images; modes with at least one point within 3 standard deviations",
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
    meaning="KL of the mode histogram of the samples against the real one, of those that lie on a mode (as "
    "in modes_covered), in nats; where none does, as of samples on the rarest mode alone",
)
def mode_kl(modes: Modes) -> float:
    """sum_k p_k log(p_k / r_k), with 0 log 0 = 0; a perfect sampler of n has about (K - 1) / (2 n).

    Its largest value is log(1 / min_k r_k), which differs from data to data: no worst value is declared.
    """
    import torch

    r = modes.real_shares.double()
    if not modes.counts.any():
        return float(-r.min().log())
    p = modes.counts.double() / modes.counts.sum()
    return float(torch.where(p > 0, p * (p / r).log(), 0.0).sum())


@metric(
    samples={"points": 2500},
    higher_is_better=True,
    worst=0.0,
    meaning="share of points within 3 standard deviations of a mode; 98.89% for a perfect sampler",
)
def hq(modes: Modes) -> float:
    return float(modes.close.double().mean())
