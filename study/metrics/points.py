"""Metrics of 2-D points against a Gaussian mixture, with the protocol of PacGAN (Lin et al. 2018)."""

import numpy as np
import torch
from torch import Tensor

from study.data.dataset import Dataset
from study.metrics.modes import mode_statistics

HIGH_QUALITY_STDS = 3.0
TRANSPORT_POINTS = 1000


class PointMetrics:
    """modes_covered, mode_coverage, mode_kl, hq and w1 of one set of points.

    hq is the share of samples within 3 std of a mode (98.89% for a perfect sampler: 1 - exp(-4.5)); a mode
    is covered when at least one such sample lands on it. mode_kl assigns every sample to its nearest
    mode. w1 is exact optimal transport with Euclidean cost between the first 1,000 samples and
    the first 1,000 held-out points.
    """

    samples = 2500

    def __init__(self, dataset: Dataset) -> None:
        assert dataset.centres is not None
        assert dataset.std is not None
        self.centres, self.std = dataset.centres, dataset.std
        self.real_shares = torch.full((dataset.n_modes,), 1 / dataset.n_modes)
        self.reference = _numpy(dataset.held_out[:TRANSPORT_POINTS])

    def __call__(self, points: Tensor) -> dict[str, float]:
        """Finite (N, 2) points -> metrics by name."""
        # Not by matrix multiplication, which would lose the digits that 3 std of 0.01 need.
        distances = torch.cdist(points, self.centres, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distances.min(dim=1)
        mode = nearest.indices.cpu()
        close = (nearest.values <= HIGH_QUALITY_STDS * self.std).cpu()
        modes = len(self.centres)
        counts = torch.bincount(mode, minlength=modes)
        landed = torch.bincount(mode[close], minlength=modes) > 0
        return {
            "w1": exact_w1(_numpy(points[:TRANSPORT_POINTS]), self.reference),
            **mode_statistics(counts, landed, self.real_shares),
            "hq": float(close.double().mean()),
        }


def exact_w1(a: np.ndarray, b: np.ndarray) -> float:
    """Exact 1-Wasserstein distance with Euclidean cost between point sets (N, D) and (L, D) (POT)."""
    import ot

    cost = ot.dist(a, b, metric="euclidean")
    return float(ot.emd2([], [], cost, numItermax=1_000_000))


def _numpy(points: Tensor) -> np.ndarray:
    return points.double().cpu().numpy()
