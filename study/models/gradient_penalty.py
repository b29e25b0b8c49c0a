"""The gradient penalty of WGAN-GP (Gulrajani et al. 2017, equation 3)."""

from typing import Protocol

import torch
from torch import Tensor


class HasInputGradient(Protocol):
    """A critic that gives the gradients of its scores as a function of its weights."""

    def input_gradient(self, samples: Tensor) -> Tensor: ...


class GradientPenalty:
    """lambda * E[(||grad D(x_hat)||_2 - 1)^2] at x_hat = eps * x + (1 - eps) * G(z).

    `lambda_gp` (M,) is one weight per member.
    """

    def __init__(self, lambda_gp: Tensor) -> None:
        self.lambda_gp = lambda_gp

    def __call__(self, critic: HasInputGradient, real: Tensor, fake: Tensor, epsilon: Tensor) -> Tensor:
        """Samples (M, B, ...), epsilon (M, B) in [0, 1] -> (M,), differentiable in the critic's weights."""
        epsilon = epsilon.view(*epsilon.shape, *[1] * (real.dim() - 2)).to(real.dtype)
        gradient = critic.input_gradient(fake + epsilon * (real - fake))
        # vector_norm has subgradient 0 at 0, where sqrt(sum of squares) would give NaN.
        norms = torch.linalg.vector_norm(gradient.to(real.dtype).flatten(2), dim=2)
        return self.lambda_gp.to(norms.dtype) * (norms - 1).square().mean(1)
