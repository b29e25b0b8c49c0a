"""2-D Gaussian mixtures with known modes, as in PacGAN (Lin et al. 2018, section 4.1).

ring8: 8 modes on the unit circle, std 0.01. grid25: a 5x5 grid, spacing 2, std 0.05.
"""

import math

import torch
from torch import Tensor

from study.data.dataset import Dataset
from study.seeds import derive_seed

TRAIN = 50_000
HELD_OUT = 10_000


def load_ring8() -> Dataset:
    """Angles 2*pi*i/8; a linspace that includes both ends would give seven modes."""
    angles = torch.arange(8, dtype=torch.float32) * (2 * math.pi / 8)
    return _mixture("ring8", torch.stack([angles.cos(), angles.sin()], dim=1), std=0.01)


def load_grid25() -> Dataset:
    side = torch.arange(-4.0, 5.0, 2.0, dtype=torch.float32)
    return _mixture("grid25", torch.cartesian_prod(side, side), std=0.05)


def _mixture(name: str, centres: Tensor, std: float) -> Dataset:
    def draw(part: str, n: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(name, part))
        mode = torch.randint(len(centres), (n,), generator=generator)
        return centres[mode] + std * torch.randn(n, 2, generator=generator, dtype=torch.float32)

    return Dataset(
        name=name,
        kind="points",
        train=draw("train", TRAIN),
        held_out=draw("held out", HELD_OUT),
        n_modes=len(centres),
        centres=centres,
        std=std,
    )
