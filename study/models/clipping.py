"""Weight clipping (Arjovsky, Chintala, Bottou 2017, algorithm 1, line 7)."""

import torch
from torch import Tensor


class WeightClipping:
    """Clamps every critic parameter to [-clip_value, clip_value]; `clip_value` (M,), one per member."""

    def __init__(self, clip_value: Tensor) -> None:
        self.clip_value = clip_value

    @torch.no_grad()
    def __call__(self, parameters: Tensor, alive: Tensor) -> None:
        """Clamp `parameters` (M, P) in place; members not `alive` (M,) stay as they are."""
        bound = torch.where(alive, self.clip_value, torch.inf)[:, None].to(parameters.dtype)
        torch.clamp(parameters, -bound, bound, out=parameters)
