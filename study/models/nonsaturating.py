"""The non-saturating GAN loss (Goodfellow et al. 2014, section 3), on logits."""

from torch import Tensor
from torch.nn.functional import softplus


class NonSaturatingLoss:
    """softplus(-D(x)) + softplus(D(G(z))) for the critic, softplus(-D(G(z))) for the generator."""

    def critic(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """Scores (M, B), (M, B) -> (M,)."""
        return softplus(-real_scores).mean(1) + softplus(fake_scores).mean(1)

    def generator(self, fake_scores: Tensor) -> Tensor:
        """Scores (M, B) -> (M,)."""
        return softplus(-fake_scores).mean(1)
