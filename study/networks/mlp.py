"""Multilayer perceptrons for points: three hidden layers of ReLU, as in the papers' toy experiments."""

import torch
from torch import Tensor, nn

from study.networks.layers import MemberLinear

threshold_backward = torch.ops.aten.threshold_backward


def _hidden(members: int, n_in: int, width: int, *, exact_input: bool) -> list[MemberLinear]:
    sizes = (n_in, width, width, width)
    return [MemberLinear(members, sizes[i], sizes[i + 1], exact=exact_input and i == 0) for i in range(3)]


class PointGenerator(nn.Module):
    """(M, B, latent_dim) -> (M, B, n_out)."""

    def __init__(self, members: int, latent_dim: int, n_out: int, width: int) -> None:
        super().__init__()
        self.layers = _hidden(members, latent_dim, width, exact_input=False)
        self.hidden = nn.ModuleList(self.layers)
        self.points = MemberLinear(members, width, n_out, exact=True)

    def forward(self, latents: Tensor) -> Tensor:
        x = latents
        for layer in self.layers:
            x = layer(x).relu_()
        return self.points(x)


class PointCritic(nn.Module):
    """(M, B, n_in) -> scores (M, B)."""

    def __init__(self, members: int, n_in: int, width: int) -> None:
        super().__init__()
        self.layers = _hidden(members, n_in, width, exact_input=True)
        self.hidden = nn.ModuleList(self.layers)
        self.score = MemberLinear(members, width, 1, exact=True)

    def forward(self, points: Tensor, batches: int = 1) -> Tensor:
        """`points` may be several batches, as an image critic's: no sample knows of another."""
        del batches
        x = points
        for layer in self.layers:
            x = layer(x).relu_()
        return self.score(x).squeeze(-1)

    def input_gradient(self, points: Tensor) -> Tensor:
        """Each score's gradient with respect to its point, (M, B, n_in), differentiable in the weights.

        A ReLU's slope is constant around almost every input, so the gradient depends on the weights
        through the transposed layers alone.
        """
        activations, x = [], points
        with torch.no_grad():
            for layer in self.layers:
                x = layer(x).relu_()
                activations.append(x)
        gradient = self.score.weight.transpose(1, 2).to(x.dtype).expand_as(x)
        for layer, x in zip(reversed(self.layers), reversed(activations), strict=True):
            gradient = layer.transposed(threshold_backward(gradient, x, 0))
        return gradient
