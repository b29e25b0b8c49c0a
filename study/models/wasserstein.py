"""The Wasserstein GAN loss (Arjovsky, Chintala, Bottou 2017, algorithm 1).

It estimates a distance only up to the critic's unknown Lipschitz constant: never call it one.
"""

from typing import TYPE_CHECKING

from study.models.declaration import Values

if TYPE_CHECKING:
    from torch import Tensor


def critic_loss(real_scores: "Tensor", fake_scores: "Tensor", _: Values) -> "Tensor":
    """D(G(z)) - D(x): scores (M, B), (M, B) -> (M,)."""
    return fake_scores.mean(1) - real_scores.mean(1)


def generator_loss(fake_scores: "Tensor", _: Values) -> "Tensor":
    """-D(G(z)): scores (M, B) -> (M,)."""
    return -fake_scores.mean(1)
