"""The networks as textbooks have them, one member of torch's own layers, and how ours lie in them."""

import torch
from torch import Tensor, nn

from tests.benchmarks.textbook import dcgan_critic, dcgan_generator, mlp


def generator(shape: tuple[int, ...], latent_dim: int, width: int) -> nn.Sequential:
    """(B, latent_dim) -> (B, *shape)."""
    if len(shape) == 1:
        return mlp(latent_dim, shape[0], width)
    channels, side, _ = shape
    return dcgan_generator(latent_dim, width, channels, side)


def critic(shape: tuple[int, ...], width: int, *, batch_norm: bool) -> nn.Sequential:
    """(B, *shape) -> scores (B)."""
    if len(shape) == 1:
        return nn.Sequential(mlp(shape[0], 1, width), nn.Flatten(0))
    channels, side, _ = shape
    return dcgan_critic(width, channels, side, batch_norm=batch_norm)


def in_layout_of(textbook: Tensor, own: Tensor) -> Tensor:
    """One member's parameter (or its gradient), laid out as the textbook's."""
    if textbook.dim() == 2:
        return own.T  # ours maps rows
    if own.dim() == 2 and textbook.dim() == 4:
        # A 4x4 map in or out of a linear layer: ours has its features in the order (h, w, c).
        first, second = textbook.shape[:2]
        if len(own) == first:
            return own.view(first, 4, 4, second).permute(0, 3, 1, 2)
        return own.view(4, 4, second, first).permute(3, 2, 0, 1)
    return own.reshape(textbook.shape)


@torch.no_grad()
def copy_weights(ours: nn.Module, theirs: nn.Module, member: int = 0) -> None:
    """Copy one of our members into a textbook network."""
    for own, textbook in zip(ours.parameters(), theirs.parameters(), strict=True):
        textbook.copy_(in_layout_of(textbook, own[member]))
