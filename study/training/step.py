"""One generator iteration, line by line as the papers' algorithm boxes.

Models differ only in what they declare: losses, penalty, clipping, and how the players take turns. Nothing
here reads a value back from the device.
"""

import torch
from torch import Tensor

from study.data.arrays import as_floats
from study.models import CRITIC, GENERATOR
from study.training.pack import Pack
from study.training.streams import Draws


def iteration(pack: Pack, data: Tensor, draws: Draws) -> None:
    """The players' turns: by default `n_critic` critic updates on fresh batches of `data` (N, ...), then one
    generator update.
    """
    before, done = GENERATOR, {CRITIC: 0, GENERATOR: 0}
    for player in pack.turns:
        if before == GENERATOR:  # it has moved
            pack.generator.refresh()
        i = done[player]
        if player == CRITIC:
            real = as_floats(data[draws.indices[:, i]])
            critic_step(pack, real, draws.critic_noise[:, i], draws.epsilon[:, i])
        else:
            generator_step(pack, draws.generator_noise[:, i])
        before, done[player] = player, i + 1


def critic_step(pack: Pack, real: Tensor, latents: Tensor, epsilon: Tensor) -> None:
    """One critic update per member: real (M, B, ...), latents (M, B, latent_dim), epsilon (M, B)."""
    critic = pack.critic
    critic.refresh()
    with torch.no_grad():
        fake = pack.generator.network(latents)
    both = critic.network(torch.cat([real, fake], 1), batches=2)
    real_scores, fake_scores = both.chunk(2, 1)
    loss = pack.model.critic_loss(real_scores, fake_scores, pack.hyperparameters)
    if pack.model.penalty is not None:
        loss = loss + pack.model.penalty(critic.network, real, fake, epsilon, pack.hyperparameters)
    gradient = critic.gradient(loss)
    norm = torch.linalg.vector_norm(gradient, dim=1)

    pack.watch.count_critic_update()
    pack.watch.check(loss.isfinite(), "non-finite critic loss")
    alive = pack.watch.check(norm.isfinite(), "non-finite critic gradient")
    pack.critic_optimiser.step(gradient, alive)
    if pack.model.clip is not None:
        pack.model.clip(critic.values, alive, pack.hyperparameters)
    pack.meters["loss_d"].add(loss, alive)
    pack.meters["grad_norm_d"].add(norm, alive)


def generator_step(pack: Pack, latents: Tensor) -> None:
    """One generator update per member from latents (M, B, latent_dim)."""
    pack.critic.refresh()
    loss = pack.model.generator_loss(
        pack.critic.network(pack.generator.network(latents)), pack.hyperparameters
    )
    # Gradients are asked for the generator alone, so none is computed for the critic's weights.
    gradient = pack.generator.gradient(loss)
    norm = torch.linalg.vector_norm(gradient, dim=1)

    pack.watch.check(loss.isfinite(), "non-finite generator loss")
    alive = pack.watch.check(norm.isfinite(), "non-finite generator gradient")
    pack.generator_optimiser.step(gradient, alive)
    pack.meters["loss_g"].add(loss, alive)
    pack.meters["grad_norm_g"].add(norm, alive)
