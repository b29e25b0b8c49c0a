"""WGAN with gradient penalty (Gulrajani et al. 2017, algorithm 1)."""

from typing import TYPE_CHECKING

from study.models.declaration import HasInputGradient, Model, Values
from study.models.hyperparameter import Hyperparameter
from study.models.wasserstein import critic_loss, generator_loss

if TYPE_CHECKING:
    from torch import Tensor


def gradient_penalty(
    critic: HasInputGradient, real: "Tensor", fake: "Tensor", epsilon: "Tensor", values: Values
) -> "Tensor":
    """lambda * E[(||grad D(x_hat)||_2 - 1)^2] at x_hat = eps * x + (1 - eps) * G(z) (equation 3).

    Samples (M, B, ...), epsilon (M, B) in [0, 1] -> (M,), differentiable in the critic's weights.
    """
    from torch.linalg import vector_norm

    epsilon = epsilon.view(*epsilon.shape, *[1] * (real.dim() - 2)).to(real.dtype)
    gradient = critic.input_gradient(fake + epsilon * (real - fake))
    # vector_norm has subgradient 0 at 0, where sqrt(sum of squares) would give NaN.
    norms = vector_norm(gradient.to(real.dtype).flatten(2), dim=2)
    penalty: Tensor = values.lambda_gp.to(norms.dtype) * (norms - 1).square().mean(1)
    return penalty


WGAN_GP = Model(
    name="wgan_gp",
    title="WGAN with gradient penalty",
    source="Gulrajani et al. 2017, algorithm 1",
    critic_loss=critic_loss,
    generator_loss=generator_loss,
    penalty=gradient_penalty,
    critic_batch_norm=False,  # section 4
    defaults={
        "lr_g": 1e-4,
        "lr_d": 1e-4,
        "beta1": 0.0,
        "beta2": 0.9,
        "n_critic": 5,
        "optimizer": "adam",
        "init": "he",  # the authors' code
    },
    own=(
        Hyperparameter(
            name="lambda_gp",
            meaning="weight of the gradient penalty",
            default=10.0,
            at_least=0,
            at_most=1e6,
            per_member=True,
        ),
    ),
    bf16_kinds=("images", "points"),
    is_default=True,
)
