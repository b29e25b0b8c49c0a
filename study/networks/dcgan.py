"""DCGAN (Radford, Metz, Chintala 2016) for square images of side 16, 32, 64, ... with any channels.

4x4 convolutions of stride 2 between the image and a 4x4 map; weights N(0, 0.02); ReLU in the generator,
LeakyReLU 0.2 in the critic; no batch norm next to the image.
"""

from torch import Tensor, nn

from study.networks.layers import (
    MemberBatchNorm2d,
    MemberConv2d,
    MemberConvTranspose2d,
    MemberLinear,
)

INIT_STD = 0.02


def _levels(side: int) -> int:
    """How often a 4x4 map is doubled to reach `side`."""
    levels = side.bit_length() - 3
    if levels < 1 or side != 4 << levels:
        raise ValueError(f"image side {side}: DCGAN needs a power of two of at least 8")
    return levels


class DCGANGenerator(nn.Module):
    """(M, B, latent_dim) -> (M, B, C, side, side) in [-1, 1]."""

    def __init__(self, members: int, latent_dim: int, width: int, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, side, _ = image_shape
        levels = _levels(side)
        self.members = members
        self.image_shape = image_shape
        top = width << (levels - 1)
        # A 4x4 transposed convolution of a 1x1 map is a linear layer.
        self.project = MemberLinear(members, latent_dim, top * 16, bias=False, init_std=INIT_STD)
        layers: list[nn.Module] = [MemberBatchNorm2d(members, top, init_std=INIT_STD), nn.ReLU()]
        n_in = top
        for _ in range(levels - 1):
            layers += [
                MemberConvTranspose2d(members, n_in, n_in // 2, bias=False, init_std=INIT_STD),
                MemberBatchNorm2d(members, n_in // 2, init_std=INIT_STD),
                nn.ReLU(),
            ]
            n_in //= 2
        layers += [
            MemberConvTranspose2d(members, n_in, channels, bias=True, init_std=INIT_STD),
            nn.Tanh(),
        ]
        self.upsample = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        batch = latents.shape[1]
        maps = self.project(latents).transpose(0, 1).reshape(batch, -1, 4, 4)
        images = self.upsample(maps)
        return images.view(batch, self.members, *self.image_shape).transpose(0, 1)


class DCGANCritic(nn.Module):
    """(M, B, C, side, side) -> scores (M, B)."""

    def __init__(self, members: int, width: int, image_shape: tuple[int, ...], *, batch_norm: bool) -> None:
        super().__init__()
        channels, side, _ = image_shape
        levels = _levels(side)
        self.members = members
        layers: list[nn.Module] = [
            MemberConv2d(members, channels, width, bias=True, init_std=INIT_STD),
            nn.LeakyReLU(0.2),
        ]
        n_in = width
        for _ in range(levels - 1):
            layers.append(MemberConv2d(members, n_in, n_in * 2, bias=not batch_norm, init_std=INIT_STD))
            n_in *= 2
            if batch_norm:
                layers.append(MemberBatchNorm2d(members, n_in, init_std=INIT_STD))
            layers.append(nn.LeakyReLU(0.2))
        self.downsample = nn.Sequential(*layers)
        self.score = MemberLinear(members, n_in * 16, 1, init_std=INIT_STD)

    def forward(self, images: Tensor) -> Tensor:
        batch = images.shape[1]
        stacked = images.transpose(0, 1).reshape(batch, -1, *images.shape[3:])
        maps = self.downsample(stacked)
        flat = maps.view(batch, self.members, -1).transpose(0, 1)
        return self.score(flat).squeeze(-1)
