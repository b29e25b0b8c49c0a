"""The Wasserstein GAN loss (Arjovsky, Chintala, Bottou 2017, algorithm 1).

It estimates a distance only up to the critic's unknown Lipschitz constant: never call it one.
"""

from torch import Tensor


class WassersteinLoss:
    """D(G(z)) - D(x) for the critic, -D(G(z)) for the generator."""

    def critic(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """Scores (M, B), (M, B) -> (M,)."""
        return fake_scores.mean(1) - real_scores.mean(1)

    def generator(self, fake_scores: Tensor) -> Tensor:
        """Scores (M, B) -> (M,)."""
        return -fake_scores.mean(1)
