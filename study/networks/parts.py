"""Networks of many members as several of a few: a CPU's cache holds the weights of only so many.

A grouped convolution goes through all members' weights for every image. Once they exceed the cache it
takes up to twice the time of one convolution per member (tests/benchmarks/LOG.md).
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
MEMBER_DIM = 0  # of every parameter, latent, sample and score, in networks and packs


class InParts(nn.Module):
    """Evaluates networks of consecutive members, one after the other, as if they were one."""

    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.sizes = [len(next(part.parameters())) for part in parts]

    def forward(self, x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        each = zip(self.parts, x.split(self.sizes, MEMBER_DIM), strict=True)
        return torch.cat([part(own, *arguments, **options) for part, own in each], MEMBER_DIM)

    def input_gradient(self, samples: Tensor) -> Tensor:
        """Of a critic."""
        each = zip(self.parts, samples.split(self.sizes, MEMBER_DIM), strict=True)
        return torch.cat([part.input_gradient(own) for part, own in each], MEMBER_DIM)  # type: ignore[operator]


def build_in_parts(build: Callable[[int], Network], members: int, part_values: float) -> Network | InParts:
    """`build(members)`, in as few parts as have about `part_values` parameters each, or of one member."""
    if math.isinf(part_values):
        return build(members)
    size = sum(p.numel() for p in build(1).parameters())
    parts = min(members, math.ceil(members * size / part_values))
    if parts <= 1:
        return build(members)
    ends = [members * k // parts for k in range(parts + 1)]
    return InParts([build(j - i) for i, j in pairwise(ends)])
