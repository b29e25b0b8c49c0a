"""DCGAN (Radford, Metz, Chintala 2016) for square images of side 16, 32, 64, ... with any channels.

4x4 convolutions of stride 2 between the image and a 4x4 map; ReLU in the generator, LeakyReLU 0.2 in
the critic; no batch norm next to the image. Maps are channels-last in memory.
"""

import torch
from torch import Tensor, nn

from study.networks.convolution import channels_last
from study.networks.layers import (
    MemberBatchNorm2d,
    MemberConv2d,
    MemberConvFromImage,
    MemberConvToImage,
    MemberConvTranspose2d,
    MemberLinear,
    MemberProjection,
)

leaky_relu_backward = torch.ops.aten.leaky_relu_backward
SLOPE = 0.2  # of LeakyReLU, below zero


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
        top = width << (levels - 1)
        self.project = MemberProjection(members, latent_dim, top)
        layers: list[nn.Module] = [MemberBatchNorm2d(members, top), nn.ReLU(True)]
        n_in = top
        for _ in range(levels - 1):
            layers += [
                MemberConvTranspose2d(members, n_in, n_in // 2),
                MemberBatchNorm2d(members, n_in // 2),
                nn.ReLU(True),
            ]
            n_in //= 2
        self.upsample = nn.Sequential(*layers)
        self.to_image = MemberConvToImage(members, n_in, channels)

    def forward(self, latents: Tensor) -> Tensor:
        batch = latents.shape[1]
        maps = self.project(latents).view(self.members, batch, 4, 4, -1)
        maps = maps.permute(1, 0, 4, 2, 3).flatten(1, 2)
        images = self.to_image(self.upsample(channels_last(maps)))
        # tanh in float32: next to 1 it needs more digits than its argument.
        images = images.unflatten(1, (self.members, -1)).transpose(0, 1)
        return images.to(self.upsample[0].weight.dtype, memory_format=torch.contiguous_format).tanh()


class DCGANCritic(nn.Module):
    """(M, B, C, side, side) -> scores (M, B)."""

    def __init__(self, members: int, width: int, image_shape: tuple[int, ...], *, batch_norm: bool) -> None:
        super().__init__()
        channels, side, _ = image_shape
        levels = _levels(side)
        self.members = members
        convolutions: list[MemberConvFromImage | MemberConv2d] = [
            MemberConvFromImage(members, channels, width)
        ]
        norms: list[MemberBatchNorm2d | None] = [None]
        n_in = width
        for _ in range(levels - 1):
            convolutions.append(MemberConv2d(members, n_in, n_in * 2, bias=not batch_norm))
            n_in *= 2
            norms.append(MemberBatchNorm2d(members, n_in) if batch_norm else None)
        self.levels = list(zip(convolutions, norms, strict=True))
        self.registered = nn.ModuleList(layer for level in self.levels for layer in level if layer)
        self.score = MemberLinear(members, n_in * 16, 1, exact=True)

    def forward(self, images: Tensor, batches: int = 1) -> Tensor:
        """`images` may be several batches of one size: batch norm takes the statistics of each."""
        x = self._maps(images)
        for convolution, norm in self.levels:
            x = convolution(x)
            if norm is not None:
                x = norm(x) if batches == 1 else torch.cat([norm(part) for part in x.chunk(batches)])
            x = nn.functional.leaky_relu(x, SLOPE, inplace=True)
        weight = self.score.weight.view(self.members, 16, -1).transpose(0, 1)
        flat = x.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (self.members, -1))
        scores = (flat.to(weight.dtype) * weight).sum((1, 3))
        bias = self.score.bias
        return scores.T if bias is None else scores.T + bias.squeeze(2)

    def input_gradient(self, images: Tensor) -> Tensor:
        """Each score's gradient with respect to its image, (M, B, C, H, W), differentiable in the weights.

        LeakyReLU's slope is constant around almost every input, so the gradient depends on the weights
        through the transposed layers alone. Raises ValueError with batch norm, where that is not so.
        """
        if any(norm is not None for _, norm in self.levels):
            raise ValueError("batch norm mixes samples: a score has no gradient of its own image alone")
        maps, x = [], self._maps(images)
        with torch.no_grad():
            for convolution, _ in self.levels:
                x = nn.functional.leaky_relu(convolution(x), SLOPE, inplace=True)
                maps.append(x)
        gradient = self.score.weight.view(self.members, 4, 4, -1).permute(0, 3, 1, 2).flatten(0, 1)
        gradient = gradient.to(x.dtype).expand_as(x)
        for (convolution, _), x in zip(reversed(self.levels), reversed(maps), strict=True):
            gradient = convolution.transposed(leaky_relu_backward(gradient, x, SLOPE, True))
        return gradient.view(images.shape[1], self.members, *images.shape[2:]).transpose(0, 1)

    def _maps(self, images: Tensor) -> Tensor:
        """(M, B, C, H, W) -> (B, M*C, H, W)."""
        return channels_last(images.transpose(0, 1).flatten(1, 2))
