"""The real manifold, as balls around real images in a judge's features: improved precision."""

from typing import TYPE_CHECKING

from study.metrics.declaration import metric

if TYPE_CHECKING:
    from torch import Tensor

NEIGHBOURS = 5
TYPICAL = 0.75  # of the real images
PART = 1000  # images whose distances to all real ones are held at a time


@metric(
    samples={"images": 1000},
    higher_is_better=True,
    worst=0.0,
    meaning="improved precision (Kynkäänniemi et al. 2019): share of images on the real manifold, no farther "
    "from some held-out image than its fifth nearest neighbour is, in the judge's features",
)
def improved_precision(on_manifold: "Tensor") -> float:
    return float(on_manifold.double().mean())


def ball_radii(real: "Tensor") -> "Tensor":
    """(H, D) features -> (H,) distance of each to its fifth nearest other one, or the farthest of fewer."""
    import torch

    k = min(NEIGHBOURS, len(real) - 1)
    parts = (torch.cdist(part, real) for part in real.split(PART))
    return torch.cat([part.topk(k + 1, largest=False).values[:, -1] for part in parts])  # itself is nearest


def typical(radii: "Tensor") -> "Tensor":
    """(H,) radii, those of the quarter with the largest ones made -1: balls that hold nothing.

    They are of outliers, and reach far into what isn't data; untrained generators fall into them. (For the
    same reason Kynkäänniemi et al. leave out half of the balls in their realism score, section 5.)
    """
    import torch

    return torch.where(radii <= radii.quantile(TYPICAL), radii, -1.0)


def in_balls(features: "Tensor", real: "Tensor", radii: "Tensor") -> "Tensor":
    """(n, D) features -> (..., n) bool, whether each lies in a ball around one of (H, D), of (..., H) radii.

    Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric", equation 1.
    """
    import torch

    parts = (torch.cdist(part, real) for part in features.split(PART))
    return torch.cat([(distances <= radii[..., None, :]).any(-1) for distances in parts], -1)
