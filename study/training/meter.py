"""A mean over updates, per member, kept on the device until it is read."""

import math

import torch
from torch import Tensor


class Meter:
    """Means of values (M,) over the updates in which the member was alive."""

    def __init__(self, members: int, device: torch.device) -> None:
        self._sum = torch.zeros(members, dtype=torch.float64, device=device)
        self._count = torch.zeros(members, dtype=torch.int64, device=device)

    def add(self, values: Tensor, alive: Tensor) -> None:
        self._sum.add_(torch.where(alive, values.detach(), 0.0))
        self._count.add_(alive)

    def read_and_reset(self) -> list[float]:
        """The means since the last reset; NaN for a member without a single update."""
        sums, counts = self._sum.tolist(), self._count.tolist()
        self._sum.zero_()
        self._count.zero_()
        return [s / n if n else math.nan for s, n in zip(sums, counts, strict=True)]

    def state_dict(self) -> dict[str, Tensor]:
        return {"sum": self._sum, "count": self._count}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._sum.copy_(state["sum"])
        self._count.copy_(state["count"])
