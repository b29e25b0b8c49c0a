"""One generator iteration, line by line as the papers' algorithm boxes.

Goodfellow et al. 2014 (algorithm 1), Arjovsky et al. 2017 (algorithm 1), Gulrajani et al. 2017
(algorithm 1) differ only in the loss, the penalty and the clipping that the pack holds.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from study.training.pack import Pack


def iteration(pack: Pack, data: Tensor) -> None:
    """`n_critic` critic updates on fresh batches of `data` (N, ...), then one generator update."""
    config = pack.config
    for _ in range(config.n_critic):
        real = data[pack.streams.indices(config.batch_size, len(data))]
        latents = pack.streams.latents("critic noise", config.batch_size, config.latent_dim)
        epsilon = pack.streams.epsilon(config.batch_size) if pack.penalty else None
        critic_step(pack, real, latents, epsilon)
    latents = pack.streams.latents("generator noise", config.batch_size, config.latent_dim)
    generator_step(pack, latents)


def critic_step(pack: Pack, real: Tensor, latents: Tensor, epsilon: Tensor | None) -> None:
    """One critic update per member: real (M, B, ...), latents (M, B, latent_dim), epsilon (M, B)."""
    with torch.no_grad():
        fake = pack.generator(latents)
    loss = pack.loss.critic(pack.critic(real), pack.critic(fake))
    if pack.penalty is not None:
        assert epsilon is not None, "the gradient penalty needs epsilon"
        loss = loss + pack.penalty(pack.critic, real, fake, epsilon)
    gradients = torch.autograd.grad(loss.sum(), pack.critic_parameters)
    norms = gradient_norms(gradients)

    pack.critic_updates += 1
    pack.watch.check(loss.isfinite(), "non-finite critic loss", pack.critic_updates)
    alive = pack.watch.check(norms.isfinite(), "non-finite critic gradient", pack.critic_updates)
    pack.critic_optimiser.step(gradients, alive)
    if pack.clipping is not None:
        pack.clipping(pack.critic_parameters, alive)
    pack.meters["loss_d"].add(loss, alive)
    pack.meters["grad_norm_d"].add(norms, alive)


def generator_step(pack: Pack, latents: Tensor) -> None:
    """One generator update per member from latents (M, B, latent_dim)."""
    loss = pack.loss.generator(pack.critic(pack.generator(latents)))
    # Gradients are asked for the generator alone, so none is computed for the critic's weights.
    gradients = torch.autograd.grad(loss.sum(), pack.generator_parameters)
    norms = gradient_norms(gradients)

    pack.generator_updates += 1
    pack.watch.check(loss.isfinite(), "non-finite generator loss", pack.critic_updates)
    alive = pack.watch.check(norms.isfinite(), "non-finite generator gradient", pack.critic_updates)
    pack.generator_optimiser.step(gradients, alive)
    pack.meters["loss_g"].add(loss, alive)
    pack.meters["grad_norm_g"].add(norms, alive)


def gradient_norms(gradients: Sequence[Tensor]) -> Tensor:
    """(M,): each member's Euclidean norm over all `gradients`, each (M, ...)."""
    parts = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients]
    return torch.linalg.vector_norm(torch.stack(parts), dim=0)
