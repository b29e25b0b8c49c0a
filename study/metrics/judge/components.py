"""Principal components of the training pixels: features of images that have no labels to learn from."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from study.data import Dataset
from study.data.arrays import Arrays, as_floats

RECIPE = 1  # counts changes of how they are found: part of the cache key
FEATURES = 64
HELD_OUT_SHARE = 0.2  # no more components than this share of the held-out images, whose covariance is taken
FITTED_ON = 5000  # training images, at most
PART = 512  # images


@dataclass(frozen=True)
class Components:
    """A linear map of images to features.

    Attributes:
        mean: (P,) of the training pixels; `vectors`: (P, k) orthonormal.
        explained: share of the pixels' variance that lies in the components.
    """

    mean: Tensor
    vectors: Tensor
    explained: float

    @property
    def facts(self) -> dict[str, Any]:
        """For study.json."""
        return {"components": {"number": self.vectors.shape[1], "explained": self.explained}}

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, k)."""
        flat = (as_floats(part).flatten(1) for part in images.split(PART))
        return torch.cat([(pixels - self.mean) @ self.vectors for pixels in flat])


def make(_: Dataset, arrays: Arrays) -> dict[str, Any]:
    """The state of a dataset's components: 64, but at most a fifth of the number of held-out images."""
    import numpy as np
    from sklearn.decomposition import PCA

    chosen = torch.randperm(len(arrays.train), generator=torch.Generator().manual_seed(0))[:FITTED_ON]
    pixels = as_floats(arrays.train[chosen.to(arrays.train.device)]).flatten(1).float().cpu().numpy()
    k = max(1, min(FEATURES, int(HELD_OUT_SHARE * len(arrays.held_out)), *pixels.shape))
    found = PCA(k, svd_solver="randomized", random_state=0).fit(pixels)
    return {
        "mean": torch.from_numpy(found.mean_),
        "vectors": torch.from_numpy(found.components_.T.copy()),
        # 0 / 0 where all images are the same
        "explained": float(np.nan_to_num(found.explained_variance_ratio_).sum()),
    }


def restore(_: Dataset, state: dict[str, Any], device: torch.device) -> Components:
    return Components(state["mean"].to(device), state["vectors"].to(device), state["explained"])
