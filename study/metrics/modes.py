"""Mode coverage: how many modes samples reach, and how evenly."""

import torch
from torch import Tensor


def mode_statistics(counts: Tensor, covered: Tensor, real_shares: Tensor) -> dict[str, float]:
    """Coverage figures of one set of samples.

    Args:
        counts: (K,) samples assigned to each mode.
        covered: (K,) bool, whether the mode counts as covered.
        real_shares: (K,) share of each mode in the real data; uniform for the mixtures.

    Returns:
        modes_covered, mode_coverage (fraction), and mode_kl = sum_k p_k log(p_k / r_k) in nats, the
        reverse KL of the histogram p of the samples against the real shares r (0 log 0 = 0). A
        perfect sampler of N samples has about (K - 1) / (2 N).
    """
    p = counts.double() / counts.sum()
    r = real_shares.double()
    n_covered = int(covered.sum())
    kl = torch.where(p > 0, p * (p / r).log(), 0.0).sum()
    return {
        "modes_covered": n_covered,
        "mode_coverage": n_covered / len(counts),
        "mode_kl": float(kl),
    }
