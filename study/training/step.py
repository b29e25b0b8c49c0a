"""One generator iteration, line by line as the papers' algorithm boxes.

Goodfellow et al. 2014 (algorithm 1), Arjovsky et al. 2017 (algorithm 1), Gulrajani et al. 2017
(algorithm 1) differ only in the loss, the penalty and the clipping that the pack holds. Nothing here
reads a value back from the device.
"""

import torch
from torch import Tensor

from study.training.pack import Pack
from study.training.streams import Draws


def iteration(pack: Pack, data: Tensor, draws: Draws) -> None:
    """`n_critic` critic updates on fresh batches of `data` (N, ...), then one generator update."""
    pack.generator.refresh()
    for i in range(pack.config.n_critic):
        real = data[draws.indices[:, i]]
        critic_step(pack, real, draws.critic_noise[:, i], draws.epsilon[:, i])
    generator_step(pack, draws.generator_noise)


def critic_step(pack: Pack, real: Tensor, latents: Tensor, epsilon: Tensor) -> None:
    """One critic update per member: real (M, B, ...), latents (M, B, latent_dim), epsilon (M, B)."""
    critic = pack.critic
    critic.refresh()
    with torch.no_grad():
        fake = pack.generator.network(latents)
    both = critic.network(torch.cat([real, fake], 1), batches=2)
    real_scores, fake_scores = both.chunk(2, 1)
    loss = pack.loss.critic(real_scores, fake_scores)
    if pack.penalty is not None:
        loss = loss + pack.penalty(critic.network, real, fake, epsilon)
    gradient = critic.gradient(loss)
    norm = torch.linalg.vector_norm(gradient, dim=1)

    pack.watch.count_critic_update()
    pack.watch.check(loss.isfinite(), "non-finite critic loss")
    alive = pack.watch.check(norm.isfinite(), "non-finite critic gradient")
    pack.critic_optimiser.step(gradient, alive)
    if pack.clipping is not None:
        pack.clipping(critic.values, alive)
    pack.meters["loss_d"].add(loss, alive)
    pack.meters["grad_norm_d"].add(norm, alive)


def generator_step(pack: Pack, latents: Tensor) -> None:
    """One generator update per member from latents (M, B, latent_dim)."""
    pack.critic.refresh()
    loss = pack.loss.generator(pack.critic.network(pack.generator.network(latents)))
    # Gradients are asked for the generator alone, so none is computed for the critic's weights.
    gradient = pack.generator.gradient(loss)
    norm = torch.linalg.vector_norm(gradient, dim=1)

    pack.watch.check(loss.isfinite(), "non-finite generator loss")
    alive = pack.watch.check(norm.isfinite(), "non-finite generator gradient")
    pack.generator_optimiser.step(gradient, alive)
    pack.meters["loss_g"].add(loss, alive)
    pack.meters["grad_norm_g"].add(norm, alive)
