"""Exact optimal transport between samples and real points."""

from typing import TYPE_CHECKING

from study.metrics.declaration import metric

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@metric(
    samples={"points": 1000},
    higher_is_better=False,
    is_default=True,
    meaning="exact 1-Wasserstein distance to as many held-out points, of a mixture to as many of each mode",
)
def w1(samples: "Tensor", held_out: "Tensor") -> float:
    return exact_w1(samples.double().cpu().numpy(), held_out[: len(samples)].double().cpu().numpy())


def exact_w1(a: "np.ndarray", b: "np.ndarray") -> float:
    """Exact 1-Wasserstein distance with Euclidean cost between point sets (N, D) and (L, D) (POT)."""
    import ot

    cost = ot.dist(a, b, metric="euclidean")
    return float(ot.emd2([], [], cost, numItermax=1_000_000))
