"""2-D Gaussian mixtures with known modes, as in PacGAN (Lin et al. 2018, section 4.1)."""

import math
from typing import TYPE_CHECKING

from study.data.declaration import Dataset
from study.seeds import derive_seed

if TYPE_CHECKING:
    from torch import Tensor

    from study.data.arrays import Arrays

TRAIN = 50_000
HELD_OUT = 10_000


def load_ring8() -> "Arrays":
    """Angles 2*pi*i/8; a linspace that includes both ends would give seven modes."""
    import torch

    angles = torch.arange(8, dtype=torch.float32) * (2 * math.pi / 8)
    return _mixture("ring8", torch.stack([angles.cos(), angles.sin()], dim=1), std=0.01)


def load_grid25() -> "Arrays":
    import torch

    side = torch.arange(-4.0, 5.0, 2.0, dtype=torch.float32)
    return _mixture("grid25", torch.cartesian_prod(side, side), std=0.05)


def _mixture(name: str, centres: "Tensor", std: float) -> "Arrays":
    import torch

    from study.data.arrays import Arrays

    def draw(part: str, n: int) -> "Tensor":
        generator = torch.Generator().manual_seed(derive_seed(name, part))
        mode = torch.randint(len(centres), (n,), generator=generator)
        return centres[mode] + std * torch.randn(n, 2, generator=generator, dtype=torch.float32)

    return Arrays(
        train=draw("train", TRAIN),
        held_out=draw("held out", HELD_OUT),
        centres=centres,
        std=std,
    )


RING8 = Dataset(
    name="ring8",
    meaning="8 Gaussians of std 0.01 on the unit circle (PacGAN)",
    kind="points",
    sample_shape=(2,),
    load=load_ring8,
    modes=8,
)
GRID25 = Dataset(
    name="grid25",
    meaning="25 Gaussians of std 0.05 on a grid of spacing 2 (PacGAN)",
    kind="points",
    sample_shape=(2,),
    load=load_grid25,
    modes=25,
)
