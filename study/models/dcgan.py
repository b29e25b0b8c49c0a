"""DCGAN (Radford, Metz, Chintala 2016) with the non-saturating loss (Goodfellow et al. 2014, section 3)."""

from typing import TYPE_CHECKING

from study.models.declaration import Model, Values

if TYPE_CHECKING:
    from torch import Tensor


def critic_loss(real_scores: "Tensor", fake_scores: "Tensor", _: Values) -> "Tensor":
    """softplus(-D(x)) + softplus(D(G(z))): logits (M, B), (M, B) -> (M,)."""
    from torch.nn.functional import softplus

    return softplus(-real_scores).mean(1) + softplus(fake_scores).mean(1)


def generator_loss(fake_scores: "Tensor", _: Values) -> "Tensor":
    """softplus(-D(G(z))): logits (M, B) -> (M,)."""
    from torch.nn.functional import softplus

    return softplus(-fake_scores).mean(1)


DCGAN = Model(
    name="dcgan",
    title="DCGAN, non-saturating loss",
    source="Radford et al. 2016; Goodfellow et al. 2014",
    critic_loss=critic_loss,
    generator_loss=generator_loss,
    defaults={
        "lr_g": 2e-4,
        "lr_d": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "n_critic": 1,
        "optimizer": "adam",
        "init": "normal_0.02",  # section 4
    },
    bf16_kinds=("images", "points"),
)
